"""What to do about a finding, in words that several checks share."""

from __future__ import annotations

REFINE = (
    "refine the covariances on all rows (their values are beside the frozen ones), or learn them from a larger random "
    "sample of the factor's levels with all their rows"
)
MODEL = (
    "look for what the model leaves out: effects that differ between the levels (a random slope), rows that depend on "
    "each other; where a covariance is off as well, refine it on all rows"
)
LABELS = (
    "see that rows and labels are the same in both stages: labels of another encoding, permuted labels and wrong joins "
    "look like this"
)
SAME_DATA = (
    "check that both stages had the same formula, factor coding and data, and that the subsample is random; where they "
    "had, the effect may differ between levels (a random slope)"
)
MORE_DRAWS = "learn the covariances again with more draws, or a longer warm-up"
MORE_ITERATIONS = "learn the covariances again from other starting values, or with a simpler Sigma"
SOLVER = "loosen tol, bring columns to similar scales, or leave out collinear fixed effects"
BOUNDARY = (
    "a variance of 0 takes that effect from every level in stage 2; learn from a larger subsample, or leave the "
    "coefficient out of the formula"
)
GIVEN_DATA = (
    "pass the data that stage 2 was fitted to; if these are they, labels were mixed up on the way, or the solver "
    "stopped early"
)
HOLDOUT = "see that labels and columns of the held-out rows are those of the fit, and that Sigma is not far too large"
ONE_SIGMA = "estimate the coefficients at stage 1's covariances, or pass refined= where others are meant"
