source("../common.R")
formula <- "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"
write_golden(fit_lmer(as.formula(formula), InstEval, REML = TRUE), formula, "InstEval", "gaussian", large = TRUE, condvar = FALSE)
