source("../common.R")
formula <- "total.fruits ~ nutrient + amd + status + (1 + amd | popu) + (1 + nutrient | gen)"
data <- transform(Arabidopsis, gen = factor(gen), rack = factor(rack))
write_golden(fit_glmer(as.formula(formula), data, family = poisson), formula, "Arabidopsis", "poisson", nagq = 1)
