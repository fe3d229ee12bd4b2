source("../common.R")
formula <- "r2 ~ 1 + Anger + (1 + mode | id) + (1 | item)"
write_golden(fit_glmer(as.formula(formula), VerbAgg, nAGQ = 0), formula, "VerbAgg", "bernoulli", nagq = 0)
