source("../common.R")
formula <- "log(1 + meanTICKS) ~ YEAR + cHEIGHT + (1 | LOCATION)"
write_golden(fit_lmer(as.formula(formula), grouseticks_agg, REML = TRUE), formula, "grouseticks_agg", "gaussian")
