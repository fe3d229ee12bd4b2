# lme4, in the protocol of benchmarks/worker.py: Rscript bench_lme4.R FOLDER FORMULA FAMILY TASK
#
# The first fit's time includes loading lme4. At given covariances the coefficients come from one call of lme4's
# deviance function, which is what glmer(nAGQ = 0) would do at its optimum.

arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
formula <- as.formula(arguments[2])
family <- arguments[3]
task <- arguments[4]

options(error = function() {
  cat(gsub("\n", " ", geterrmessage()), "\n", file = stderr())
  quit(status = 1)
})

quoted <- function(text) paste0("\"", gsub("\"", "'", text), "\"")

reply <- function(...) {
  parts <- c(...)
  cat("{", paste0("\"", names(parts), "\": ", parts, collapse = ", "), "}\n", sep = "")
  flush(stdout())
}

# Peak memory in bytes above what is in use now, as benchmarks/memory.py has it.
status <- function(key) {
  line <- grep(paste0("^", key, ":"), readLines("/proc/self/status"), value = TRUE)
  1024 * as.numeric(sub("[^0-9]*([0-9]+).*", "\\1", line))
}
memory_start <- function() tryCatch({
  cat("5", file = "/proc/self/clear_refs")
  status("VmRSS")
}, error = function(e) NA, warning = function(w) NA)
memory_above <- function(begin) if (is.na(begin)) "null" else format(max(status("VmHWM") - begin, 0), scientific = FALSE)

seconds <- function() as.numeric(Sys.time())

read_data <- function() {
  data <- read.csv(file.path(folder, "data.csv"))
  levels <- read.csv(file.path(folder, "levels.csv"), colClasses = "character", na.strings = character())
  for (column in unique(levels$column)) {
    data[[column]] <- factor(data[[column]], levels = levels$level[levels$column == column])
  }
  data
}

# theta of lme4 from varcorr.csv, for terms in lme4's order.
given_theta <- function(cnms) {
  varcorr <- read.csv(file.path(folder, "varcorr.csv"), na.strings = "")
  residual <- varcorr$vcov[varcorr$grp == "Residual"]
  scale <- if (length(residual)) sqrt(residual) else 1
  unlist(lapply(names(cnms), function(factor) {
    names <- cnms[[factor]]
    Sigma <- matrix(0, length(names), length(names), dimnames = list(names, names))
    rows <- varcorr[varcorr$grp == factor, ]
    for (i in seq_len(nrow(rows))) {
      a <- rows$var1[i]
      b <- if (is.na(rows$var2[i])) a else rows$var2[i]
      Sigma[a, b] <- Sigma[b, a] <- rows$vcov[i]
    }
    L <- t(chol(Sigma))
    L[lower.tri(L, diag = TRUE)] / scale
  }))
}

fit_coefficients <- function(data) {
  gaussian <- family == "gaussian"
  parts <- if (gaussian) lFormula(formula, data) else glFormula(formula, data, family = binomial)
  theta <- given_theta(parts$reTrms$cnms)
  # From the start, so that no time goes into another theta. A copy: lme4 writes into this vector.
  parts$reTrms$theta <- theta + 0
  parts$reTrms$Lambdat@x <- theta[parts$reTrms$Lind]
  f <- do.call(if (gaussian) mkLmerDevfun else mkGlmerDevfun, parts)
  f(theta)
  predictors <- environment(f)$pp
  list(beta = setNames(predictors$beta(1), colnames(parts$X)), b = predictors$b(1), terms = parts$reTrms)
}

coefficient_table <- function(found) {
  table <- data.frame(factor = "", level = "", coefficient = names(found$beta), value = found$beta)
  terms <- found$terms
  for (k in seq_along(terms$cnms)) {
    factor <- names(terms$cnms)[k]
    names <- terms$cnms[[k]]
    levels <- levels(terms$flist[[factor]])
    # lme4 keeps the coefficients of a level together.
    values <- found$b[(terms$Gp[k] + 1):terms$Gp[k + 1]]
    table <- rbind(table, data.frame(factor = factor, level = rep(levels, each = length(names)),
                                     coefficient = rep(names, length(levels)), value = values))
  }
  table$value <- formatC(table$value, digits = 17, format = "g")
  table
}

covariance_table <- function(fit) {
  table <- as.data.frame(VarCorr(fit))[c("grp", "var1", "var2", "vcov")]
  table$vcov <- formatC(table$vcov, digits = 17, format = "g")
  table
}

began <- seconds()
if (!suppressPackageStartupMessages(require(lme4, quietly = TRUE))) {
  reply(skipped = quoted("lme4 is not installed in R"))
  quit()
}
loading <- seconds() - began
version <- quoted(as.character(packageVersion("lme4")))
if (file.size(file.path(folder, "data.csv")) > 5e7) {
  reply(skipped = quoted("not tried: its sparse Cholesky factor has no chance at this size"), version = version)
  quit()
}
data <- read_data()
invisible(gc())
reply(ready = "true", version = version)
requests <- file("stdin", "r")
first <- TRUE
while (length(request <- readLines(requests, n = 1))) {
  in_use <- if (first || request == "memory") memory_start() else NA
  began <- seconds()
  found <- suppressWarnings(suppressMessages(
    if (task == "covariance") lmer(formula, data, REML = TRUE) else fit_coefficients(data)
  ))
  elapsed <- seconds() - began
  memory <- memory_above(in_use)
  if (first) {
    table <- if (task == "covariance") covariance_table(found) else coefficient_table(found)
    write.csv(table, file.path(folder, "answer-lme4.csv"), row.names = FALSE, na = "")
    elapsed <- elapsed + loading
    first <- FALSE
  }
  rm(found)
  invisible(gc())
  reply(seconds = format(elapsed, digits = 9), memory = memory, details = "{}")
}
