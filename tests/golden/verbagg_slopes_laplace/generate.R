source("../common.R")
formula <- "r2 ~ Anger + Gender + btype + situ + (1 + situ | id) + (1 | item)"
write_golden(fit_glmer(as.formula(formula), VerbAgg), formula, "VerbAgg", "bernoulli", nagq = 1, condvar = FALSE)
