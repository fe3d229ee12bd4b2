# Likelihood-ratio tables of lme4's anova: REML fits refitted by ML, and glmer fits.
suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
table <- function(...) {
  a <- as.data.frame(anova(...))
  list(npar = a$npar, AIC = a$AIC, BIC = a$BIC, loglik = a$logLik, chisq = a$Chisq, df = a$Df, p = a$`Pr(>Chisq)`)
}
lmm <- lapply(c("Reaction ~ 1 + (1 | Subject)", "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (1 + Days | Subject)"),
              function(f) list(formula = f, fit = lmer(as.formula(f), sleepstudy, control = lmerControl(optCtrl = list(xtol_rel = 1e-10, xtol_abs = 1e-10)))))
data <- transform(cbpp, proportion = incidence / size)
glmm <- lapply(c("proportion ~ 1 + (1 | herd)", "proportion ~ period + (1 | herd)"),
               function(f) list(formula = f, fit = glmer(as.formula(f), data, binomial, weights = data$size,
                                                         control = glmerControl(tolPwrss = 1e-10))))
out <- list(versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))),
            sleepstudy = list(formulas = sapply(lmm, `[[`, "formula"),
                              table = table(lmm[[1]]$fit, lmm[[2]]$fit, lmm[[3]]$fit)),
            cbpp = list(formulas = sapply(glmm, `[[`, "formula"), table = table(glmm[[1]]$fit, glmm[[2]]$fit)))
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE), "anova.json")
