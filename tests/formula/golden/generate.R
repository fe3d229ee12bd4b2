# Model matrices and random terms as R and lme4 build them, for tests/formula/test_against_r.py.
# Run in this folder: Rscript generate.R     Writes data.csv, model_matrix.json and random_terms.json.
suppressPackageStartupMessages({library(lme4); library(splines); library(jsonlite)})
invisible(Sys.setlocale("LC_COLLATE", "C"))  # levels sorted by code point, as in mixedfx

set.seed(20)
n <- 48
raw <- data.frame(
  y = round(rnorm(n), 3),
  x = round(rnorm(n, 1), 3),
  z = round(rexp(n) + 0.1, 3),
  total.fruits = rpois(n, 4),
  kind = sample(c("b", "a", "C"), n, TRUE),
  mode = sample(c("self", "other"), n, TRUE),
  studage = sample(c(2, 4, 6, 8, 10), n, TRUE),
  year = sample(c(2001, 2003, 2007), n, TRUE),
  flag = sample(c(TRUE, FALSE), n, TRUE),
  school = rep(1:4, each = 12),
  class = sample(c("r", "s", "t"), n, TRUE),
  pupil = sample(10:12, n, TRUE)
)
raw$`x y` <- round(runif(n), 3)
raw$`k k` <- rep(c("u", "v"), n / 2)
raw$C <- round(rnorm(n), 3)
write.csv(raw, "data.csv", row.names = FALSE, quote = FALSE)

data <- raw
data$kind <- factor(data$kind, levels = c("b", "a", "unused", "C"))  # an order that is not sorted, and a level to drop
data$kind <- droplevels(data$kind)
data$class <- factor(data$class)
data$studage <- factor(data$studage, ordered = TRUE)

fixed <- c(
  "~ 1 + x",
  "~ x + kind + flag",
  "~ 0 + kind + mode",
  "~ x - 1 + mode + kind",
  "~ mode + x:kind",
  "~ kind * mode",
  "~ kind:mode",
  "~ 0 + kind:mode + x",
  "~ studage",
  "~ 0 + studage",
  "~ studage:x + kind",
  "~ kind / x",
  "~ (kind + mode + x)^2",
  "~ (kind + mode + x)^3 - kind:mode:x",
  "~ kind * mode * x - kind:mode",
  "~ x:mode:kind + mode",
  "~ poly(x, 2) + log(z)",
  "~ poly(x,2,raw=TRUE)*mode",
  "~ I(x^2) + I((x-1)*z/2) + exp(-x) + sqrt(z+1) + I(100000*x)",
  "~ scale(x) + scale(z, center = FALSE) + scale(x, scale=FALSE) + log1p(z)",
  "~ factor(year) + bs(x, df = 5)",
  "~ bs(z, degree = 2) + x",
  "~ factor(year):flag + total.fruits",
  "~ `x y` + `k k` + x:`k k` + I(`x y`^2)",
  "~ C + C(class) + I(C * 2)",
  "~ mode:x + kind + x",
  "~ ordered(year) * x",
  "~ flag:x + flag",
  "~ x + z + kind:x:z",
  "~ (x + z) / kind",
  "~ 1 + x + 0 + z",
  "~ x + x + x:x + z*z"
)
values <- function(columns) lapply(seq_len(ncol(columns)), function(k) unname(columns[, k]))
cases <- lapply(fixed, function(text) {
  m <- model.matrix(as.formula(text), data)
  list(formula = text, names = colnames(m), columns = values(m))
})
version <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")))
write_json(list(version = version, cases = cases), "model_matrix.json", digits = I(15), auto_unbox = TRUE)

random <- c(
  "(1 | school)",
  "(1 + x | school)",
  "(x | class) + (0 + kind | school)",
  "(1 + kind | school)",
  "(x || school)",
  "(1 + x + kind || school)",
  "(0 + x + z || pupil)",
  "(x * mode || school)",
  "(1 | school/class)",
  "(1 + x | school/class/mode)",
  "(1 | class:school) + (1 | pupil)",
  "(1 | `k k`) + (1 | `k k`:class)",
  "(studage | class)",
  "(0 + flag | school) + (poly(x, 2) | class)"
)
ignore <- lmerControl(
  check.nobs.vs.nlev = "ignore", check.nobs.vs.rankZ = "ignore", check.nobs.vs.nRE = "ignore",
  check.nlev.gtreq.5 = "ignore", check.rankX = "ignore", check.scaleX = "ignore"
)
terms <- lapply(random, function(text) {
  r <- lFormula(as.formula(paste("y ~", text)), data, control = ignore)$reTrms
  blocks <- lapply(seq_along(r$cnms), function(k) {
    f <- r$flist[[attr(r$flist, "assign")[k]]]
    q <- length(r$cnms[[k]])
    # A row has coefficients of one level only, so the sum over levels is its z.
    z <- lapply(seq_len(q), function(c) unname(colSums(as.matrix(r$Ztlist[[k]][seq(c, by = q, length.out = nlevels(f)), ]))))
    list(factor = names(r$cnms)[k], names = I(r$cnms[[k]]), levels = levels(f), codes = as.integer(f) - 1L, z = z)
  })
  list(formula = text, blocks = blocks)
})
write_json(list(version = version, cases = terms), "random_terms.json", digits = I(15), auto_unbox = TRUE)
