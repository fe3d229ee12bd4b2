source("../common.R")
formula <- "angle ~ recipe + temperature + (1 | recipe:replicate)"
write_golden(fit_lmer(as.formula(formula), cake, REML = FALSE), formula, "cake", "gaussian")
