source("../common_ordinal.R")
formula <- "resp ~ Anger + btype + situ + (1 + situ | id) + (1 | item)"
write_golden_clmm(fit_clmm(as.formula(formula), VerbAgg, gradTol = 1e-6), formula, "VerbAgg")
