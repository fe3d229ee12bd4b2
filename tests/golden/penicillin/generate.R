source("../common.R")
formula <- "diameter ~ 1 + (1 | plate) + (1 | sample)"
write_golden(fit_lmer(as.formula(formula), Penicillin, REML = TRUE), formula, "Penicillin", "gaussian")
