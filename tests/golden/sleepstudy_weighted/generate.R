source("../common.R")
formula <- "Reaction ~ 1 + Days + (1 + Days | Subject)"
weights <- 0.5 + (seq_len(nrow(sleepstudy)) %% 7) / 4
write_golden(fit_lmer(as.formula(formula), sleepstudy, weights = weights), formula, "sleepstudy", "gaussian",
             weights = weights)
