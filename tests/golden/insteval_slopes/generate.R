source("../common.R")
formula <- "y ~ 1 + service + (1 + service | s) + (1 + service | d)"
write_golden(fit_lmer(as.formula(formula), InstEval, REML = TRUE), formula, "InstEval", "gaussian", large = TRUE, condvar = FALSE)
