source("../common.R")
formula <- "TICKS ~ YEAR + cHEIGHT + (1 | BROOD)"
saturated <- with(grouseticks, sum(dpois(TICKS, TICKS, log = TRUE)))
write_golden(fit_glmer(as.formula(formula), grouseticks, family = poisson, nAGQ = 5), formula, "grouseticks", "poisson", nagq = 5,
             saturated = saturated)
