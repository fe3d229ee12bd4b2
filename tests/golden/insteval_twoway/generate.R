source("../common.R")
formula <- "y ~ 1 + (1 | s) + (1 | d)"
write_golden(fit_lmer(as.formula(formula), InstEval, REML = TRUE), formula, "InstEval", "gaussian", large = TRUE)
