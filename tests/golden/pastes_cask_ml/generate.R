source("../common.R")
formula <- "strength ~ cask + (1 | batch) + (1 | sample)"
write_golden(fit_lmer(as.formula(formula), Pastes, REML = FALSE), formula, "Pastes", "gaussian")
