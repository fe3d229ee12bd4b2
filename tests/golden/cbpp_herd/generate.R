source("../common.R")
formula <- "proportion ~ period + (1 | herd)"
data <- transform(cbpp, proportion = incidence / size)
write_golden(fit_glmer(as.formula(formula), data, weights = data$size), formula, "cbpp", "binomial", nagq = 1, weights = data$size)
