source("../common_ordinal.R")
formula <- "rating ~ temp + contact + (1 | judge)"
write_golden_clmm(fit_clmm(as.formula(formula), wine, nAGQ = 7), formula, "wine", nagq = 7)
