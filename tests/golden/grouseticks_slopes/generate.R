source("../common.R")
formula <- "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 + YEAR | LOCATION)"
write_golden(fit_glmer(as.formula(formula), grouseticks, family = poisson), formula, "grouseticks", "poisson", nagq = 1)
