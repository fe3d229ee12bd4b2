"""Profile intervals: against lme4's, and against maximisations that share no code with them."""

from __future__ import annotations

import doctest
import json
from dataclasses import dataclass, replace
from typing import Any

import goldens
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from oracle import DenseModel
from scipy.optimize import minimize
from scipy.stats import chi2

import mixedfx as mfx
from mixedfx.covariance import confint, held
from mixedfx.covariance.fit_again import design_again
from mixedfx.covariance.held import GaussianCoefficientProfile, Profile, VarianceProfile
from mixedfx.covariance.held_correlation import CorrelationProfile
from mixedfx.covariance.profile import LikelihoodProfiles
from mixedfx.covariance.quantities import names
from mixedfx.covariance.result import CovarianceResult
from mixedfx.design import Design, build_design
from mixedfx.errors import ConvergenceWarning, DataError, SettingError
from mixedfx.families import get_family

Floats = NDArray[np.float64]
RISE = float(chi2.ppf(0.95, 1))

LMER = json.loads((goldens.FOLDER / "profile_lmer" / "profile.json").read_text())["cases"]
GLMER = json.loads((goldens.FOLDER / "profile_glmer" / "profile.json").read_text())["cases"]


def agrees(table: pd.DataFrame, case: dict[str, Any]) -> None:
    """lme4 interpolates between points of its profile: its ends are good to some 1e-5 of an interval's width."""
    own = table.set_axis(names(table), axis=0).loc[case["names"]]
    width = np.array(case["upper"], dtype=float) - np.array(case["lower"], dtype=float)
    for side in ("lower", "upper"):
        error = np.abs(own[side].to_numpy() - np.array(case[side], dtype=float)) / width
        assert error.max() < 1e-4, dict(zip(case["names"], error, strict=True))


@pytest.mark.parametrize("case", LMER, ids=lambda case: f"{case['data']}-{case['level']}")
def test_lmer(case: dict[str, Any]) -> None:
    """REML fits too, whose profile is that of the ML fit."""
    data = goldens.data(case["data"])
    fit = mfx.learn_covariance(case["formula"], data, method="reml" if case["reml"] else "ml")
    agrees(mfx.confint(fit, data, level=case["level"]), case)


@pytest.mark.parametrize("case", GLMER, ids=lambda case: case["data"])
def test_glmer(case: dict[str, Any]) -> None:
    data = goldens.data(case["data"])
    fit = mfx.learn_covariance(case["formula"], data, family="binomial", weights="size")
    agrees(mfx.confint(fit, data, weights="size", level=case["level"]), case)


def three_slopes(seed: int, correlation: float, sds: tuple[float, float, float]) -> pd.DataFrame:
    """Twenty levels with three correlated coefficients, crossed with six others."""
    rng = np.random.default_rng(seed)
    n, levels = 160, 20
    g, h = rng.permutation(np.arange(n) % levels), rng.integers(0, 6, n)
    x, v = rng.standard_normal((2, n))
    R = np.full((3, 3), correlation)
    np.fill_diagonal(R, 1.0)
    b = rng.multivariate_normal(np.zeros(3), R * np.outer(sds, sds), size=levels, method="eigh")
    noise = 0.5 * rng.standard_normal(6)[h] + rng.standard_normal(n)
    y = 1 + 0.5 * x + b[g, 0] + b[g, 1] * x + b[g, 2] * v + noise
    return pd.DataFrame({"y": y, "x": x, "v": v, "g": g, "h": h})


def regular() -> pd.DataFrame:
    """All estimates inside their ranges."""
    return three_slopes(13, 0.3, (1.0, 0.8, 0.6))


def singular() -> pd.DataFrame:
    """An estimated Sigma without full rank."""
    return three_slopes(2, 0.99, (1.0, 0.8, 0.4))


THREE = "y ~ 1 + x + (1 + x + v | g) + (1 | h)"


@dataclass(frozen=True)
class Dense:
    """A gaussian model's deviance from dense matrices, minimised by BFGS over factors of Sigma that meet a constraint.

    The pair of coefficients that it bears on comes first: with their standard deviations a and b, the first rows of the
    factor are (a, 0, 0) and (b rho, b sqrt(1 - rho^2), 0), so that either of a and rho can be given.
    """

    design: Design
    without_x: Design
    x: Floats
    pair: tuple[int, int]

    def deviance(self, at: Floats, sd: float | None, rho: float | None, beta_x: float | None) -> float:
        r = np.tanh(at[1]) if rho is None else rho
        L = np.zeros((3, 3))
        L[0, 0] = np.exp(at[0]) if sd is None else sd
        L[1, :2] = np.exp(at[2]) * np.array([r, np.sqrt(1 - r**2)])
        L[2] = at[3:6]
        order = [*self.pair, *(k for k in range(3) if k not in self.pair)]
        sigma = np.empty((3, 3))
        sigma[np.ix_(order, order)] = L @ L.T
        design = self.design if beta_x is None else self.without_x
        dense = DenseModel.of(design.predictors, {"g": sigma, "h": np.array([[np.exp(2 * at[6])]])})
        y = design.y - (0.0 if beta_x is None else beta_x) * self.x
        return -2 * dense.loglik(y, float(np.exp(2 * at[7])), design.weights, reml=False)

    def lowest(
        self, *, sd: float | None = None, rho: float | None = None, beta_x: float | None = None
    ) -> float:
        """Over all that is not given."""
        start = np.array([-0.3, 0.3, -0.3, 0.1, 0.1, 0.4, -0.7, 0.0])
        found = minimize(self.deviance, start, args=(sd, rho, beta_x), method="BFGS", options={"gtol": 1e-4})
        return float(found.fun)


def test_ends_of_every_kind_by_dense_maximisation() -> None:
    """At each end the deviance has risen by the quantile of chi-squared, whoever minimises over the rest."""
    data = regular()
    fit = mfx.learn_covariance(THREE, data, method="ml")
    assert not fit.boundary
    wanted = ["sd_x|g", "cor_v.x|g", "x"]
    table = mfx.confint(fit, data, parameters=wanted)
    table = table.set_axis(names(table), axis=0)
    without = build_design(THREE.replace("1 + x +", "1 +", 1), data)
    dense = Dense(build_design(THREE, data), without, data["x"].to_numpy(), (1, 2))
    lowest = fit.deviance
    rises = [
        dense.lowest(sd=table.loc["sd_x|g", "lower"]) - lowest,
        dense.lowest(rho=table.loc["cor_v.x|g", "upper"]) - lowest,
        dense.lowest(beta_x=table.loc["x", "lower"]) - lowest,
    ]
    # The ends are good to 1e-6 in zeta, so to 4e-6 in the deviance; BFGS on differences to about 1e-6.
    np.testing.assert_allclose(rises, RISE, atol=1e-5)


@pytest.mark.parametrize("kind", ["singular", "regular"])
def test_slopes_are_those_of_the_profile(kind: str) -> None:
    """Also where a correlation is at 1, so that the gradient's own entry is not the profile's derivative."""
    data = singular() if kind == "singular" else regular()
    fit = mfx.learn_covariance(THREE, data, method="ml")
    assert bool(fit.boundary) == (kind == "singular")
    profiles = LikelihoodProfiles.of(fit, design_again(fit, data, None, "a test"))
    checked: list[tuple[Profile, float]] = [
        (VarianceProfile(profiles.search, 1), 0.6 * profiles.optimum.phi[1]),
        (CorrelationProfile(profiles.search, 4), 0.3),
    ]
    for profile, value in checked:
        here = profile.hold(value, None)
        step = 1e-4 * abs(value)
        ends = [profile.hold(value + s, here).deviance for s in (-step, step)]
        assert here.slope == pytest.approx((ends[1] - ends[0]) / (2 * step), rel=1e-4)
        assert profile.hold(value, here).deviance == pytest.approx(here.deviance, abs=1e-8)


def test_variance_held_at_zero_is_the_smaller_model() -> None:
    data = regular()
    fit = mfx.learn_covariance(THREE, data, method="ml")
    profiles = LikelihoodProfiles.of(fit, design_again(fit, data, None, "a test"))
    smaller = mfx.learn_covariance("y ~ 1 + x + (1 + x | g) + (1 | h)", data, method="ml")
    assert VarianceProfile(profiles.search, 2).hold(0.0, None).deviance == pytest.approx(
        smaller.deviance, abs=1e-8
    )
    without = mfx.learn_covariance("y ~ 1 + x + (1 + x + v | g)", data, method="ml")
    place = len(profiles.space.entries) - 1
    assert VarianceProfile(profiles.search, place).hold(0.0, None).deviance == pytest.approx(
        without.deviance, abs=1e-8
    )


def test_correlations_at_their_boundaries() -> None:
    """Data without a slope's variance say nothing of its correlation; data with a correlation of 1 do not refute 1."""
    data = three_slopes(3, 0.0, (1.0, 0.8, 0.0))
    formula = "y ~ 1 + x + (1 + v | g) + (1 | h)"
    fit = mfx.learn_covariance(formula, data)
    (row,) = mfx.confint(fit, data, parameters="correlation").itertuples()
    assert (row.lower, row.upper) == (-1.0, 1.0)
    (sd,) = mfx.confint(fit, data, parameters="sd_v|g").itertuples()
    assert sd.lower == 0.0
    assert sd.upper > 0.1
    data = singular()
    formula = "y ~ 1 + x + (1 + x | g) + (1 | h)"
    fit = mfx.learn_covariance(formula, data, method="ml")
    (row,) = mfx.confint(fit, data, parameters="correlation").itertuples()
    assert row.upper == 1.0
    assert 0.5 < row.lower < row.estimate <= 1.0
    # The quotient of the covariance and the standard deviations rounds: two units in the last place.
    assert not fit.boundary or row.estimate == pytest.approx(1.0, abs=4e-16)


def test_estimate_at_a_correlation_of_one() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(15), 6)
    x = rng.standard_normal(90)
    b = rng.standard_normal(15)[g]
    data = pd.DataFrame({"y": b + 0.8 * b * x + rng.standard_normal(90), "x": x, "g": g})
    fit = mfx.learn_covariance("y ~ 1 + x + (1 + x | g)", data, method="ml")
    assert fit.boundary == ("g (Intercept),x",)
    (row,) = mfx.confint(fit, data, parameters="correlation").itertuples()
    assert row.estimate == pytest.approx(1.0)
    assert row.upper == 1.0
    assert 0.0 < row.lower < 1.0
    (row,) = mfx.confint(fit, data, parameters="sd_x|g").itertuples()
    assert 0 < row.lower < row.estimate < row.upper


def laplace_lowest(
    fit: CovarianceResult, data: pd.DataFrame, held: dict[str, float], weights: object = None
) -> float:
    """Smallest -2 Laplace log-likelihood of a model of one random intercept, from dense matrices."""
    design = build_design(fit.formula, data, family=fit.family, weights=weights)
    family = get_family(fit.family)
    (factor,) = fit.varcorr.factors
    n_fixed = len(fit.fixef)
    labels = [*fit.fixef.index, *([] if fit.thresholds is None else fit.thresholds.index), "sd"]
    free = [i for i, label in enumerate(labels) if label not in held]
    best = np.concatenate(
        [fit.fixef, [] if fit.thresholds is None else fit.thresholds, [fit.varcorr[factor].iloc[0, 0] ** 0.5]]
    ).astype(float)
    for label, value in held.items():
        best[labels.index(label)] = value

    def deviance(x: Floats) -> float:
        full = best.copy()
        full[free] = x
        alpha = full[n_fixed:-1] if fit.thresholds is not None else None
        if alpha is not None and (np.diff(alpha) <= 0).any():
            return 1e10
        dense = DenseModel.of(design.predictors, {factor: np.array([[full[-1] ** 2]])})
        y = design.y if alpha is None else design.y.astype(int)
        return -2 * dense.laplace(family, y, design.weights, full[:n_fixed], alpha)

    found = minimize(deviance, best[free], method="BFGS", options={"gtol": 1e-4})
    return float(found.fun)


def test_ends_of_an_ordinal_model_by_dense_maximisation() -> None:
    golden = goldens.load("wine")
    data = golden.data()
    fit = mfx.learn_covariance(golden.formula, data, family="cumulative")
    table = mfx.confint(fit, data)
    table = table.set_axis(names(table), axis=0)
    assert laplace_lowest(fit, data, {}) == pytest.approx(fit.deviance, abs=1e-5)
    for name, label, side in (
        ("tempwarm", "tempwarm", "upper"),
        ("2|3", "2|3", "lower"),
        ("4|5", "4|5", "upper"),
        ("sd_(Intercept)|judge", "sd", "upper"),
    ):
        rise = laplace_lowest(fit, data, {label: float(table.loc[name, side])}) - fit.deviance
        assert rise == pytest.approx(RISE, abs=1e-4), name


def test_an_interval_takes_few_maximisations(monkeypatch: pytest.MonkeyPatch) -> None:
    data = goldens.data("sleepstudy")
    fit = mfx.learn_covariance("Reaction ~ Days + (1 + Days | Subject)", data)
    calls = []
    maximise = held.maximise

    def counting(*args: Any, **settings: Any) -> Any:
        calls.append(args)
        return maximise(*args, **settings)

    monkeypatch.setattr(held, "maximise", counting)
    mfx.confint(fit, data)
    # Twelve ends, and two variances held at 0; each end takes two or three points from Wald's.
    assert len(calls) <= 40


def test_quadrature_and_joint_mode() -> None:
    golden = goldens.load("cbpp_nagq9")
    data = golden.data()
    limits = {}
    for nagq in (0, 1, 9):
        fit = mfx.learn_covariance(golden.formula, data, family="binomial", weights="size", nagq=nagq)
        (row,) = mfx.confint(fit, data, weights="size", parameters="sd").itertuples()
        limits[nagq] = np.array([row.lower, row.upper])
        if nagq == 0:
            with pytest.raises(SettingError, match="nagq=0"):
                mfx.confint(fit, data, weights="size", parameters="fixed")
    # Both approximations are close to the integral here, and neither is it.
    for nagq in (0, 1):
        np.testing.assert_allclose(limits[nagq], limits[9], rtol=0.02)
        assert (limits[nagq] != limits[9]).all()


def test_a_coefficient_without_a_finite_end() -> None:
    """All of one group's outcomes are successes: its effect can be as large as you like, but not as small."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(30), 10)
    treated = (np.arange(300) % 5 == 0).astype(float)
    y = np.where(treated > 0, 1, rng.random(300) < 1 / (1 + np.exp(-rng.standard_normal(30)[g])))
    data = pd.DataFrame({"y": y.astype(int), "treated": treated, "g": g})
    with pytest.warns(mfx.errors.ConvergenceWarning, match=r"the data separate.*'treated'"):
        fit = mfx.learn_covariance("y ~ 1 + treated + (1 | g)", data, family="bernoulli")
    (row,) = mfx.confint(fit, data, parameters="treated").itertuples()
    assert row.upper == np.inf
    assert 0 < row.lower < np.inf


def test_a_subsample_of_the_data() -> None:
    data = mfx.datasets.load_insteval()
    fit = mfx.learn_covariance(
        "y ~ 1 + (1 | s) + (1 | d)", data, subsample=mfx.Subsample("rows", n_rows=1000, seed=1)
    )
    (row,) = mfx.confint(fit, data, parameters="sigma").itertuples()
    assert row.lower < row.estimate < row.upper


def test_weights_and_missing_values() -> None:
    data = goldens.data("sleepstudy")
    data["w"] = np.where(np.arange(len(data)) % 2, 1.0, 3.0)
    formula = "Reaction ~ Days + (1 | Subject)"
    fit = mfx.learn_covariance(formula, data, weights="w", method="ml")
    with_missing = pd.concat([data, data.iloc[:3].assign(Days=np.nan)])
    with pytest.warns(mfx.errors.MixedfxWarning, match="3 of 183 rows"):
        table = mfx.confint(fit, with_missing, weights="w", parameters=["Days", "sigma"])
    again = mfx.confint(fit, data, weights="w", parameters=["Days", "sigma"])
    pd.testing.assert_frame_equal(table, again)
    # Precision weights of a model without random slopes: the interval of Days is about Wald's.
    wald = fit.intervals().query("var1 == 'Days'").iloc[0]
    assert again.loc[0, "upper"] == pytest.approx(wald["upper"], abs=0.05 * (wald["upper"] - wald["lower"]))


def test_what_cannot_be_profiled() -> None:
    data = goldens.data("sleepstudy")
    fit = mfx.learn_covariance("Reaction ~ Days + (1 + Days | Subject)", data)
    with pytest.raises(SettingError, match="pass data="):
        mfx.confint(fit)
    with pytest.raises(SettingError, match="'covariance'"):
        mfx.confint(fit, data, parameters=["sd", "covariance"])
    with pytest.raises(SettingError, match=r"'days'.*sd_Days\|Subject"):
        mfx.confint(fit, data, parameters="days")
    with pytest.raises(DataError, match="170 complete rows, but the fit was to 180"):
        mfx.confint(fit, data.iloc[:170])
    other = data.assign(Subject=data["Subject"].cat.codes // 2)
    with pytest.raises(DataError, match="levels"):
        mfx.confint(fit, other)
    with pytest.raises(SettingError, match="'nuts'"):
        mfx.confint(replace(fit, method="nuts"), data)
    with pytest.raises(SettingError, match="method is 'bca'"):
        mfx.confint(fit, data, method="bca")


def test_a_profile_that_cannot_be_followed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = goldens.data("Dyestuff")
    fit = mfx.learn_covariance("Yield ~ 1 + (1 | Batch)", data)
    hold = GaussianCoefficientProfile.hold

    def lost(self: GaussianCoefficientProfile, value: float, near: Any) -> Any:
        return replace(hold(self, value, near), deviance=np.inf, slope=np.nan)

    monkeypatch.setattr(GaussianCoefficientProfile, "hold", lost)
    with pytest.warns(ConvergenceWarning, match=r"'\(Intercept\)' could not be followed"):
        table = mfx.confint(fit, data, parameters="fixed")
    assert table[["lower", "upper"]].isna().all(axis=None)


def test_examples() -> None:
    assert doctest.testmod(confint).failed == 0


def test_binary_responses_with_labels() -> None:
    """Two categories, but no threshold: the rows of the table are the intercept and the rest."""
    golden = goldens.load("verbagg_laplace")
    data = golden.data()
    fit = mfx.learn_covariance(golden.formula, data, family="bernoulli")
    name = fit.fixef.index[1]
    (row,) = mfx.confint(fit, data, parameters=name).itertuples()
    assert row.estimate == pytest.approx(fit.fixef[name], abs=1e-5)
    wald = fit.intervals().query("var1 == @name").iloc[0]
    assert row.upper == pytest.approx(wald["upper"], abs=0.05 * (wald["upper"] - wald["lower"]))
