source("../common.R")
formula <- "proportion ~ period + (1 | herd)"
data <- transform(cbpp, proportion = incidence / size)
saturated <- with(data, sum(dbinom(incidence, size, proportion, log = TRUE)))
write_golden(fit_glmer(as.formula(formula), data, nAGQ = 9, weights = data$size), formula, "cbpp", "binomial", nagq = 9,
             weights = data$size, saturated = saturated)
