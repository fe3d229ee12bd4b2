source("../common.R")
formula <- "strength ~ 1 + (1 | batch/cask)"
write_golden(fit_lmer(as.formula(formula), Pastes, REML = TRUE), formula, "Pastes", "gaussian")
