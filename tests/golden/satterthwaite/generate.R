# Tables of fixed effects with Satterthwaite's degrees of freedom, and F-tests of several coefficients, by lmerTest.
# The fits are polished as the others are (common.R), and lmerTest takes them as they are.
source("../common.R")
suppressPackageStartupMessages(library(lmerTest))

# An "optimizer" that stays where it is started.
stay <- function(fn, par, lower, upper, control) list(par = par, fval = fn(par), conv = 0, message = "")

case <- function(formula, data, tests = list(), REML = TRUE, weights = NULL) {
  call <- list(formula = as.formula(formula), data = get(data), REML = REML)
  if (!is.null(weights)) call$weights <- weights
  polished <- fit_lmer(as.formula(formula), get(data), REML = REML, weights = weights)
  control <- lmerControl(optimizer = "stay", calc.derivs = FALSE, restart_edge = FALSE, check.conv.singular = "ignore")
  fit <- do.call(lmerTest::lmer, c(call, list(start = polished$opt$par, control = control)))
  stopifnot(max(abs(getME(fit, "theta") - polished$opt$par)) < 1e-12)
  table <- coef(summary(fit))
  f_test <- function(names) {
    L <- diag(length(fixef(fit)))[match(names, names(fixef(fit))), , drop = FALSE]
    test <- contest(fit, L)
    list(names = I(names), F = test$`F value`, numerator = test$NumDF, denominator = test$DenDF, p = test$`Pr(>F)`)
  }
  list(formula = formula, data = data, method = if (REML) "reml" else "ml", weights = weights, names = I(rownames(table)),
       estimate = I(unname(table[, 1])), se = I(unname(table[, 2])), df = I(unname(table[, 3])), t = I(unname(table[, 4])),
       p = I(unname(table[, 5])), correlation = as.matrix(vcov(fit)@factors$correlation),
       residuals = unname(quantile(residuals(fit, type = "pearson", scaled = TRUE))), tests = lapply(tests, f_test))
}

cake_terms <- list(c("recipeB", "recipeC"), c("temperature.L", "temperature.Q", "temperature.C", "temperature^4", "temperature^5"),
                   paste0(c("recipeB", "recipeC"), ":temperature.L"))
both <- list(c("(Intercept)", "Days"))
slopes <- "Reaction ~ 1 + Days + (1 + Days | Subject)"
cases <- list(
  sleepstudy_reml = case(slopes, "sleepstudy", both),
  sleepstudy_ml = case(slopes, "sleepstudy", both, REML = FALSE),
  sleepstudy_uncorrelated = case("Reaction ~ 1 + Days + (1 + Days || Subject)", "sleepstudy", both),
  sleepstudy_weighted = case(slopes, "sleepstudy", both, weights = 0.5 + (seq_len(nrow(sleepstudy)) %% 7) / 4),
  cake = case("angle ~ recipe * temperature + (1 | replicate/recipe)", "cake", cake_terms),
  penicillin = case("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin"),
  pastes = case("strength ~ 1 + (1 | batch/cask)", "Pastes"),
  pastes_fixed_batch = case("strength ~ batch + (1 | batch:cask)", "Pastes", list(c("batchB", "batchC", "batchD"))),
  dyestuff2_singular = case("Yield ~ 1 + (1 | Batch)", "Dyestuff2"),
  pastes_singular = case("strength ~ batch + (1 | batch:cask) + (1 | cask)", "Pastes", list(c("batchB", "batchC", "batchD"))),
  cake_singular = case("angle ~ recipe + temp + (1 + recipe | replicate)", "cake", list(c("recipeB", "recipeC"))),
  insteval_service = case("y ~ 1 + service + (1 | s) + (1 | d)", "InstEval", list(c("(Intercept)", "service1"))),
  insteval_dept = case("y ~ service + lectage + (1 | s) + (1 | d) + (1 | dept:service)", "InstEval")
)
versions <- lapply(c(lme4 = "lme4", lmerTest = "lmerTest", numDeriv = "numDeriv"), function(p) as.character(packageVersion(p)))
write(toJSON(list(versions = c(R = as.character(getRversion()), versions), cases = cases), digits = NA, auto_unbox = TRUE,
             na = "null", null = "null", pretty = TRUE), "satterthwaite.json")
