# Fits a model with lme4 far more tightly than its defaults and writes what lme4 says as JSON.
#
# Run a case from its own folder:  Rscript generate.R      (needs lme4, jsonlite and minqa)
#
# lme4's default optimisers stop when theta changes by about 1e-6. Golden values need more: after bobyqa, Newton
# steps on finite differences of lme4's own deviance function bring every interior parameter to about 1e-8.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})

# Fourth-order central differences: with noise near 1e-10 of a deviance of 1e5, h = 1e-3 balances noise and truncation.
gradient <- function(f, x, h = 1e-3) {
  vapply(seq_along(x), function(i) {
    e <- replace(numeric(length(x)), i, h)
    (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h)
  }, 0)
}

hessian <- function(f, x, h = 1e-3) {
  n <- length(x)
  H <- matrix(0, n, n)
  f0 <- f(x)
  for (i in seq_len(n)) for (j in seq_len(i)) {
    a <- replace(numeric(n), i, h)
    b <- replace(numeric(n), j, h)
    H[i, j] <- H[j, i] <- if (i == j) {
      (-f(x + 2 * a) + 16 * f(x + a) - 30 * f0 + 16 * f(x - a) - f(x - 2 * a)) / (12 * h^2)
    } else {
      (f(x + a + b) - f(x + a - b) - f(x - a + b) + f(x - a - b)) / (4 * h^2)
    }
  }
  H
}

# Minimises f; parameters that the optimiser leaves at their lower bound stay there. lme4's own default goes first:
# minqa's bobyqa alone, from theta = identity, sticks at a bound where the deviance of InstEval's slopes is stationary
# (238775.97, where the optimum is 237278.00).
minimise <- function(f, start, lower, h = 1e-3) {
  start <- pmax(start, lower)
  start <- nloptwrap(start, f, lower, rep(Inf, length(start)))$par
  start <- minqa::bobyqa(start, f, lower = lower, control = list(rhobeg = 1e-3, rhoend = 1e-9, maxfun = 1e5))$par
  interior <- start > lower + 1e-6
  start[!interior] <- lower[!interior]
  g <- function(x) f(replace(start, interior, x))
  x <- start[interior]
  H <- NULL
  if (any(interior)) {
    H <- hessian(g, x)
    for (step in 1:3) x <- x - solve(H, gradient(g, x, h))
  }
  par <- replace(start, interior, x)
  list(par = par, fval = f(par), hessian = H, interior = interior,
       grad = if (any(interior)) max(abs(gradient(g, x, h))) else 0)
}

fit_lmer <- function(formula, data, REML = TRUE, weights = NULL) {
  call <- list(formula = formula, data = data, REML = REML)
  if (!is.null(weights)) call$weights <- weights
  parts <- do.call(lFormula, call)
  f <- do.call(mkLmerDevfun, parts)
  opt <- minimise(f, environment(f)$pp$theta, environment(f)$lower)
  f(opt$par)
  fit <- mkMerMod(environment(f), list(par = opt$par, fval = opt$fval, conv = 0, feval = 0, message = ""),
                  parts$reTrms, parts$fr)
  list(fit = fit, opt = opt, method = if (REML) "reml" else "ml")
}

# nAGQ > 1: lme4's deviance lacks the constants of the saturated model, which `write_golden` is given.
fit_glmer <- function(formula, data, family = binomial, nAGQ = 1, weights = NULL) {
  control <- glmerControl(tolPwrss = 1e-13)
  call <- list(formula = formula, data = data, family = family, control = control)
  if (!is.null(weights)) call$weights <- weights
  parts <- do.call(glFormula, call)
  f <- do.call(mkGlmerDevfun, c(parts, list(control = control)))
  lower <- environment(f)$lower
  opt <- minimise(f, environment(f)$pp$theta, lower)
  f(opt$par)
  if (nAGQ > 0) {
    f <- updateGlmerDevfun(f, parts$reTrms, nAGQ = nAGQ)
    start <- c(opt$par, environment(f)$pp$delb * 0 + environment(f)$pp$beta(1))
    opt <- minimise(f, start, environment(f)$lower)
    # By a function that starts PIRLS elsewhere: one that starts it at the optimum passes lme4's test a step too early at
    # some points, and in second differences the jumps (1e-7) are 0.3 % of Arabidopsis' standard errors.
    again <- do.call(glFormula, call)
    fresh <- updateGlmerDevfun(do.call(mkGlmerDevfun, c(again, list(control = control))), again$reTrms, nAGQ = nAGQ)
    opt$hessian <- hessian(function(x) fresh(replace(opt$par, opt$interior, x)), opt$par[opt$interior])
    f(opt$par)
  }
  fit <- mkMerMod(environment(f), list(par = opt$par, fval = opt$fval, conv = 0, feval = 0, message = ""),
                  parts$reTrms, parts$fr)
  list(fit = fit, opt = opt, method = if (nAGQ > 1) "quadrature" else if (nAGQ > 0) "laplace" else "nagq0")
}

# lme4 calls the second bar term on one factor "Subject.1"; `grp` here is the factor's own name.
varcorr_frame <- function(fit) {
  frame <- as.data.frame(VarCorr(fit))
  terms <- names(VarCorr(fit))
  factors <- names(fit@flist)[attr(fit@flist, "assign")]
  frame$grp <- ifelse(frame$grp == "Residual", "Residual", factors[match(frame$grp, terms)])
  frame
}

# Conditional modes of one factor with, where asked for, the rows of the upper triangles of lme4's condVar.
ranef_table <- function(modes, condvar) {
  out <- list(columns = names(modes), levels = rownames(modes), values = unname(as.matrix(modes)))
  post <- attr(modes, "postVar")
  if (condvar && is.array(post)) out$condvar <- lapply(seq_len(dim(post)[3]), function(j) as.matrix(post[, , j]))
  out
}

# Writes expected.json, and one ranef.<factor>.csv.gz a factor (":" written "_") where `large`.
write_golden <- function(result, formula, data, family, nagq = NULL, weights = NULL, large = FALSE, condvar = TRUE,
                         saturated = 0) {
  fit <- result$fit
  modes <- ranef(fit, condVar = condvar)
  tables <- lapply(modes, ranef_table, condvar = condvar)
  expected <- list(
    versions = list(R = as.character(getRversion()), lme4 = as.character(packageVersion("lme4")),
                    Matrix = as.character(packageVersion("Matrix")), minqa = as.character(packageVersion("minqa"))),
    optimizer = "lme4::nloptwrap, minqa::bobyqa (rhoend 1e-9), then Newton steps on 4th-order finite differences of lme4's deviance",
    max_abs_gradient = result$opt$grad,
    formula = formula, data = data, family = family, method = result$method, nagq = nagq, weights = weights,
    n_rows = nobs(fit),
    criterion = if (isREML(fit)) REMLcrit(fit) else -2 * as.numeric(logLik(fit)) - 2 * saturated,
    fixef = as.list(fixef(fit)),
    fixef_se = as.list(sqrt(diag(as.matrix(vcov(fit, use.hessian = FALSE))))),
    varcorr = varcorr_frame(fit),
    theta = unname(getME(fit, "theta")),
    sigma = if (family == "gaussian") sigma(fit) else NULL,
    singular = isSingular(fit, tol = 1e-6)
  )
  names(expected$fixef_se) <- names(fixef(fit))
  if (result$method %in% c("laplace", "quadrature")) {
    # lme4's default standard errors of glmer fits: from the Hessian of the deviance in (theta, beta).
    n <- length(result$opt$par)
    beta <- (n - length(fixef(fit)) + 1):n
    se <- rep(NA_real_, n)
    se[result$opt$interior] <- sqrt(diag(2 * solve(result$opt$hessian)))
    expected$fixef_se_hessian <- as.list(se[beta])
    names(expected$fixef_se_hessian) <- names(fixef(fit))
  }
  if (large) {
    expected$ranef_files <- list()
    for (factor in names(tables)) {
      t <- tables[[factor]]
      frame <- data.frame(level = t$levels, formatC(t$values, digits = 17, format = "g"))
      names(frame) <- c("level", t$columns)
      q <- length(t$columns)
      if (!is.null(t$condvar)) for (i in seq_len(q)) for (j in i:q) {
        frame[[paste0("condvar_", i, "_", j)]] <- formatC(vapply(t$condvar, function(v) v[i, j], 0), digits = 17, format = "g")
      }
      file <- paste0("ranef.", gsub(":", "_", factor), ".csv.gz")
      expected$ranef_files[[factor]] <- file
      connection <- gzfile(file, "w", compression = 9)
      write.csv(frame, connection, row.names = FALSE, quote = FALSE)
      close(connection)
    }
  } else {
    expected$ranef <- tables
  }
  write(toJSON(expected, digits = NA, auto_unbox = TRUE, na = "null", null = "null", pretty = FALSE), "expected.json")
  cat(basename(getwd()), format(expected$criterion, digits = 14), "max|gradient|", format(result$opt$grad, digits = 3), "\n")
}
