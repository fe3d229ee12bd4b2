source("../common.R")
formula <- "log(1 + total.fruits) ~ nutrient * amd + rack + status + (1 + amd | popu) + (1 | gen)"
data <- transform(Arabidopsis, gen = factor(gen), rack = factor(rack))
write_golden(fit_lmer(as.formula(formula), data, REML = TRUE), formula, "Arabidopsis", "gaussian")
