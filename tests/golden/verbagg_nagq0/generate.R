source("../common.R")
formula <- "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)"
write_golden(fit_glmer(as.formula(formula), VerbAgg, nAGQ = 0), formula, "VerbAgg", "bernoulli", nagq = 0)
