"""Where a difference between the stages becomes a warning, and where a failure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from mixedfx.errors import SettingError


@dataclass(frozen=True)
class Thresholds:
    """Limits of `mixedfx.compare_stages`, all settable.

    A check warns (fails) where the effect is larger than its first (second) limit *and* cannot be chance: with much
    data every difference is significant, with little data large ones are noise.

    Parameters
    ----------
    warn_rate, fail_rate
        How often chance alone may make one group of checks (fixed effects, or levels) warn or fail when model and
        covariances are right. Where Sigma is learned from some 40 levels, its error makes it a little more often: of
        100 simulated fits four warned, where one is expected, and none failed.
    fixed_effects
        Difference of a fixed effect between the stages, in standard errors of stage 1.
    slope
        Distance from 1 of the slope of stage 2's conditional modes on stage 1's.
    spread
        Root mean square of the z-scores of stage 2's modes against stage 1's; 1 is expected.
    coverage
        Distance from 0.9 of the share of stage-2 draws inside stage 1's 90 % interval.
    pit
        Largest distance of the distribution function of stage-2 draws among stage 1's quantiles from a uniform one.
    predictive
        Largest difference of a probability between the data and data that the fit would give again: of a category, of
        successes among rows with like predictions, or of a residual below some value. Warns only.
    sd
        Relative change of a standard deviation in Sigma, or of sigma, on the full data: 0.2 means that one is 20 %
        larger than the other. Warns whether or not it may be chance: the frozen value is that far off either way.
    correlation
        Change of a correlation in Sigma on the full data.
    coefficients
        Root mean square change of a factor's coefficients under the full-data Sigma, in their standard deviations.
    log_score
        What the covariances of all rows would add to the log score of held-out rows, a row.
    rhat, ess
        Of a posterior's covariance entries: largest R-hat, smallest bulk effective size.
    negligible
        Covariance parameters are not judged where the coefficient contributes less than this share to the standard
        deviation of the response.
    min_levels
        Levels are compared where both stages have at least so many of a factor.
    max_coefficients
        The full-data test of gaussian models is exact where the factors other than the largest have up to so many
        coefficients; beyond them, and for other families, it uses random probes (`mixedfx.refine_covariance`).

    Examples
    --------
    >>> Thresholds(sd=(0.1, 0.3)).sd
    (0.1, 0.3)
    """

    warn_rate: float = 0.01
    fail_rate: float = 1e-4
    fixed_effects: tuple[float, float] = (0.2, 2.0)
    slope: tuple[float, float] = (0.1, 0.3)
    spread: tuple[float, float] = (1.5, 2.5)
    coverage: tuple[float, float] = (0.05, 0.2)
    pit: tuple[float, float] = (0.1, 0.25)
    predictive: tuple[float, float] = (0.1, 0.25)
    sd: tuple[float, float] = (0.2, 0.5)
    correlation: tuple[float, float] = (0.25, 0.6)
    coefficients: tuple[float, float] = (0.25, 1.0)
    log_score: tuple[float, float] = (0.005, 0.05)
    rhat: tuple[float, float] = (1.01, 1.05)
    ess: tuple[float, float] = (400.0, 100.0)
    negligible: float = 0.02
    min_levels: int = 10
    max_coefficients: int = 2000

    def __post_init__(self) -> None:
        if not 0 < self.fail_rate <= self.warn_rate < 1:
            raise SettingError(
                f"thresholds fail_rate = {self.fail_rate:g} and warn_rate = {self.warn_rate:g} must be between 0 and "
                "1, the first not above the second"
            )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and not (
                len(value) == 2 and min(value) > 0 and _ordered(field.name, value)
            ):
                raise SettingError(
                    f"threshold {field.name} is {value!r}; it must be two numbers above 0, where it warns and where "
                    "it fails"
                )


def _ordered(name: str, limits: tuple[float, float]) -> bool:
    """Failing is further out than warning; effective sizes are bad where they are small."""
    warn, fail = limits
    return fail <= warn if name == "ess" else warn <= fail


def grade(
    effect: float, limits: tuple[float, float], p_value: float, thresholds: Thresholds
) -> Literal["ok", "warn", "fail"]:
    """The status of an effect that chance alone would produce with probability `p_value`."""
    if effect > limits[1] and p_value < thresholds.fail_rate:
        return "fail"
    return "warn" if effect > limits[0] and p_value < thresholds.warn_rate else "ok"
