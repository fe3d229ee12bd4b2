source("../common.R")
formula <- "diameter ~ sample + (1 | plate)"
write_golden(fit_lmer(as.formula(formula), Penicillin, REML = TRUE), formula, "Penicillin", "gaussian")
