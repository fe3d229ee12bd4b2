source("../common.R")
formula <- "Reaction ~ 1 + Days + (1 + Days || Subject)"
write_golden(fit_lmer(as.formula(formula), sleepstudy, REML = TRUE), formula, "sleepstudy", "gaussian")
