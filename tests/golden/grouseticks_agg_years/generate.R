source("../common.R")
formula <- "meanTICKS ~ cHEIGHT + (1 | LOCATION) + (1 | YEAR)"
write_golden(fit_lmer(as.formula(formula), grouseticks_agg, REML = TRUE), formula, "grouseticks_agg", "gaussian")
