source("../common_ordinal.R")
formula <- "resp ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)"
write_golden_clmm(fit_clmm(as.formula(formula), VerbAgg), formula, "VerbAgg")
