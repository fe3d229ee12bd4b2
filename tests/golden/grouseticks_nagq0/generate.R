source("../common.R")
formula <- "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"
write_golden(fit_glmer(as.formula(formula), grouseticks, family = poisson, nAGQ = 0), formula, "grouseticks", "poisson", nagq = 0)
