source("../common_ordinal.R")
formula <- "SURENESS ~ PROD + GENDER + (1 + PROD | RESP)"
write_golden_clmm(fit_clmm(as.formula(formula), soup), formula, "soup")
