source("../common.R")
formula <- "total.fruits ~ nutrient * amd + rack + status + (1 | popu) + (1 | gen)"
data <- transform(Arabidopsis, gen = factor(gen), rack = factor(rack))
write_golden(fit_glmer(as.formula(formula), data, family = poisson), formula, "Arabidopsis", "poisson", nagq = 1)
