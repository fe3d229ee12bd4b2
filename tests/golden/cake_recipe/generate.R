source("../common.R")
formula <- "angle ~ recipe + temp + (1 + recipe | replicate)"
write_golden(fit_lmer(as.formula(formula), cake, REML = TRUE), formula, "cake", "gaussian")
