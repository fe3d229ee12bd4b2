source("../common_ordinal.R")
formula <- "resp ~ Anger + btype + situ + (1 + situ | id) + (1 | item)"
write_golden_clmm(fit_clmm(as.formula(formula), VerbAgg, h = 5e-3), formula, "VerbAgg")
