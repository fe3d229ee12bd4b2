# lme4: lmer by REML, glmer by Laplace's approximation, with its default control.
#
# At given covariances the coefficients come from one call of lme4's deviance function, which is what glmer(nAGQ = 0)
# would do at its optimum.

source("benchmarks/libraries/protocol.R")

refusal <- function() {
  if (!family %in% c("gaussian", "bernoulli")) return(paste("it has no family for", family, "responses"))
  if (file.size(file.path(folder, "data.csv")) > 5e7) {
    return("not tried: its sparse Cholesky factor has no chance at this size")
  }
}

# theta of lme4 from varcorr.csv, for terms in lme4's order.
given_theta <- function(cnms) {
  varcorr <- read.csv(file.path(folder, "varcorr.csv"), na.strings = "")
  residual <- varcorr$vcov[varcorr$grp == "Residual"]
  scale <- if (length(residual)) sqrt(residual) else 1
  unlist(lapply(names(cnms), function(factor) {
    names <- cnms[[factor]]
    Sigma <- matrix(0, length(names), length(names), dimnames = list(names, names))
    rows <- varcorr[varcorr$grp == factor, ]
    for (i in seq_len(nrow(rows))) {
      a <- rows$var1[i]
      b <- if (is.na(rows$var2[i])) a else rows$var2[i]
      Sigma[a, b] <- Sigma[b, a] <- rows$vcov[i]
    }
    L <- t(chol(Sigma))
    L[lower.tri(L, diag = TRUE)] / scale
  }))
}

fit_coefficients <- function(data) {
  gaussian <- family == "gaussian"
  parts <- if (gaussian) lFormula(formula, data) else glFormula(formula, data, family = binomial)
  theta <- given_theta(parts$reTrms$cnms)
  # From the start, so that no time goes into another theta. A copy: lme4 writes into this vector.
  parts$reTrms$theta <- theta + 0
  parts$reTrms$Lambdat@x <- theta[parts$reTrms$Lind]
  f <- do.call(if (gaussian) mkLmerDevfun else mkGlmerDevfun, parts)
  f(theta)
  predictors <- environment(f)$pp
  list(beta = setNames(predictors$beta(1), colnames(parts$X)), b = predictors$b(1), terms = parts$reTrms)
}

coefficient_table <- function(found) {
  table <- data.frame(factor = "", level = "", coefficient = names(found$beta), value = found$beta)
  terms <- found$terms
  for (k in seq_along(terms$cnms)) {
    factor <- names(terms$cnms)[k]
    names <- terms$cnms[[k]]
    levels <- levels(terms$flist[[factor]])
    # lme4 keeps the coefficients of a level together.
    values <- found$b[(terms$Gp[k] + 1):terms$Gp[k + 1]]
    table <- rbind(table, data.frame(factor = factor, level = rep(levels, each = length(names)),
                                     coefficient = rep(names, length(levels)), value = values))
  }
  table$value <- digits(table$value)
  table
}

covariance_table <- function(fit) {
  table <- as.data.frame(VarCorr(fit))[c("grp", "var1", "var2", "vcov")]
  table$vcov <- digits(table$vcov)
  table
}

fit <- function(data) {
  if (task != "covariance") return(fit_coefficients(data))
  if (family == "gaussian") lmer(formula, data, REML = TRUE) else glmer(formula, data, family = binomial)
}

answer <- function(found) if (task == "covariance") covariance_table(found) else coefficient_table(found)

serve("lme4", refusal, fit, answer)
