source("../common.R")
formula <- "Yield ~ 1 + (1 | Batch)"
write_golden(fit_lmer(as.formula(formula), Dyestuff2, REML = FALSE), formula, "Dyestuff2", "gaussian")
