source("../common.R")
formula <- "Yield ~ 1 + (1 | Batch)"
write_golden(fit_lmer(as.formula(formula), Dyestuff, REML = FALSE), formula, "Dyestuff", "gaussian")
