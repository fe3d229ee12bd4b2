source("../common.R")
formula <- "angle ~ recipe * temperature + (1 | replicate/recipe)"
write_golden(fit_lmer(as.formula(formula), cake, REML = TRUE), formula, "cake", "gaussian")
