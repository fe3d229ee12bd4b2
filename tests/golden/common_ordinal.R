# Fits a cumulative logit model with ordinal's clmm far more tightly than its defaults and writes what it says as JSON.
#
# Run a case from its own folder:  Rscript generate.R      (needs ordinal, lme4, jsonlite and minqa)
#
# The objective is ordinal's own (getNLA, getNAGQ.ssr), in its parameters: thresholds, coefficients, then the
# covariance factors S and T of every term, or their logarithms for a single scalar term.

source("../common.R")
suppressPackageStartupMessages(library(ordinal))

# `h` is the step of the gradient's differences: more of it where ordinal's inner iterations leave more noise.
fit_clmm <- function(formula, data, nAGQ = 1, h = 1e-3) {
  control <- clmm.control(gradTol = 1e-9, maxIter = 200, useMatrix = nAGQ == 1, innerCtrl = "noWarn")
  first <- clmm(formula, data = data, nAGQ = nAGQ)
  rho <- clmm(formula, data = data, nAGQ = nAGQ, control = control, doFit = FALSE)
  if (nAGQ == 1) {
    f <- function(par) 2 * ordinal:::getNLA(rho, par)
    n_covariance <- length(ordinal:::ST2par(rho$ST))
    lower <- c(-Inf, 0)[ordinal:::parConstraints(rho) + 1]
    begin <- c(first$alpha, first$beta, ordinal:::ST2par(first$ST))
  } else {
    f <- function(par) 2 * ordinal:::getNAGQ.ssr(rho, par)
    n_covariance <- 1
    begin <- c(first$alpha, first$beta, log(first$ST[[1]][1, 1]))
    lower <- rep(-Inf, length(begin))
  }
  opt <- minimise(f, unname(begin), lower, h)
  opt$par <- unname(opt$par)
  n_fixed <- length(opt$par) - n_covariance
  # clmm's own result objects at the optimum, for conditional modes.
  at <- if (nAGQ == 1) list(opt$par[seq_len(n_fixed)], opt$par[-seq_len(n_fixed)]) else opt$par
  fit <- suppressWarnings(clmm(formula, data = data, nAGQ = nAGQ, control = control, start = at))
  list(fit = fit, first = first, opt = opt, n_fixed = n_fixed, n_covariance = n_covariance,
       method = if (nAGQ > 1) "quadrature" else "laplace")
}

write_golden_clmm <- function(result, formula, data, nagq = 1) {
  fit <- result$fit
  opt <- result$opt
  alpha <- seq_along(fit$alpha)
  beta <- length(fit$alpha) + seq_along(fit$beta)
  covariance <- opt$par[-seq_len(result$n_fixed)]
  ST <- if (nagq == 1) ordinal:::par2ST(covariance, result$first$ST) else list(matrix(exp(covariance)))
  names(ST) <- names(result$first$ST)
  factors <- lapply(ST, function(st) as.matrix(ordinal:::getLambda(list(st), 1)))
  modes <- ranef(fit)
  rows <- do.call(rbind, lapply(names(factors), function(g) {
    V <- tcrossprod(factors[[g]])
    columns <- names(modes[[g]])
    sd <- sqrt(diag(V))
    out <- data.frame(grp = g, var1 = columns, var2 = NA_character_, vcov = diag(V), sdcor = sd)
    q <- nrow(V)
    if (q > 1) for (i in 1:(q - 1)) for (j in (i + 1):q) {
      out <- rbind(out, data.frame(grp = g, var1 = columns[i], var2 = columns[j], vcov = V[i, j],
                                   sdcor = V[i, j] / (sd[i] * sd[j])))
    }
    out
  }))
  se <- rep(NA_real_, length(opt$par))
  se[opt$interior] <- sqrt(diag(2 * solve(opt$hessian)))
  tables <- lapply(modes, function(m) list(columns = names(m), levels = rownames(m), values = unname(as.matrix(m))))
  named <- function(values, names) as.list(setNames(values, names))
  expected <- list(
    versions = list(R = as.character(getRversion()), ordinal = as.character(packageVersion("ordinal")),
                    lme4 = as.character(packageVersion("lme4")), Matrix = as.character(packageVersion("Matrix")),
                    minqa = as.character(packageVersion("minqa"))),
    optimizer = "lme4::nloptwrap, minqa::bobyqa (rhoend 1e-9), then Newton steps on 4th-order finite differences of ordinal's log-likelihood",
    max_abs_gradient = opt$grad,
    formula = formula, data = data, family = "cumulative", method = result$method, nagq = nagq, weights = NULL,
    n_rows = fit$dims$n,
    criterion = opt$fval,
    fixef = named(opt$par[beta], names(fit$beta)),
    fixef_se = named(se[beta], names(fit$beta)),
    fixef_se_hessian = named(se[beta], names(fit$beta)),
    thresholds = named(opt$par[alpha], names(fit$alpha)),
    thresholds_se = named(se[alpha], names(fit$alpha)),
    varcorr = rows,
    theta = unname(unlist(lapply(factors, function(L) L[lower.tri(L, diag = TRUE)]))),
    sigma = NULL,
    singular = any(abs(unlist(lapply(factors, diag))) < 1e-6),
    ranef = tables
  )
  write(toJSON(expected, digits = NA, auto_unbox = TRUE, na = "null", null = "null", pretty = FALSE), "expected.json")
  cat(basename(getwd()), format(expected$criterion, digits = 14), "max|gradient|", format(opt$grad, digits = 3),
      "clmm", format(-2 * as.numeric(logLik(result$first)), digits = 14), "\n")
}
