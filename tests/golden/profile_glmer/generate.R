# Profile-likelihood intervals of lme4's confint for a glmer fit (Laplace).
suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
data <- transform(cbpp, proportion = incidence / size)
formula <- "proportion ~ period + (1 | herd)"
fit <- glmer(as.formula(formula), data, binomial, weights = data$size,
             control = glmerControl(tolPwrss = 1e-10, optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9)))
ci <- confint(profile(fit, signames = FALSE, delta = 0.2))
out <- list(
  versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))),
  cases = list(list(data = "cbpp", formula = formula, level = 0.95, names = rownames(ci), lower = ci[, 1],
                    upper = ci[, 2]))
)
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE), "profile.json")
