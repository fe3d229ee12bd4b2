# Profile-likelihood intervals of lme4's confint for lmer fits. REML fits are refitted by ML by profile() itself.
suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
control <- lmerControl(optCtrl = list(xtol_rel = 1e-12, xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e5),
                       check.conv.singular = "ignore")
intervals <- function(formula, data, REML, level = 0.95) {
  fit <- lmer(as.formula(formula), data, REML = REML, control = control)
  # Four times as many points as by default: between them lme4 interpolates.
  p <- suppressWarnings(profile(fit, signames = FALSE, delta = 0.1))
  ci <- confint(p, level = level)
  list(formula = formula, reml = REML, level = level, names = rownames(ci), lower = ci[, 1], upper = ci[, 2])
}
out <- list(
  versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4"))),
  cases = list(
    c(data = "sleepstudy", intervals("Reaction ~ Days + (1 + Days | Subject)", sleepstudy, FALSE)),
    c(data = "sleepstudy", intervals("Reaction ~ Days + (1 + Days | Subject)", sleepstudy, TRUE, 0.9)),
    c(data = "Penicillin", intervals("diameter ~ 1 + (1 | plate) + (1 | sample)", Penicillin, TRUE)),
    c(data = "Pastes", intervals("strength ~ 1 + (1 | batch/cask)", Pastes, TRUE)),
    c(data = "Dyestuff2", intervals("Yield ~ 1 + (1 | Batch)", Dyestuff2, TRUE))
  )
)
write(toJSON(out, digits = NA, auto_unbox = TRUE, na = "null", pretty = TRUE), "profile.json")
