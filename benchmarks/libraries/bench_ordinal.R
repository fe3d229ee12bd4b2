# ordinal's clmm: cumulative models by Laplace's approximation. It cannot hold covariances at given values.

source("benchmarks/libraries/protocol.R")

refusal <- function() {
  if (family != "cumulative") return("it is for cumulative models only")
  if (task != "covariance") return("it cannot hold the covariances at given values")
}

fit <- function(data) clmm(formula, data)

answer <- function(found) {
  do.call(rbind, lapply(names(VarCorr(found)), function(factor) {
    Sigma <- VarCorr(found)[[factor]]
    names <- colnames(Sigma)
    pairs <- which(upper.tri(Sigma), arr.ind = TRUE)
    data.frame(
      grp = factor,
      var1 = c(names, names[pairs[, 1]]),
      var2 = c(rep(NA, length(names)), names[pairs[, 2]]),
      vcov = digits(c(diag(Sigma), Sigma[pairs]))
    )
  }))
}

serve("ordinal", refusal, fit, answer)
