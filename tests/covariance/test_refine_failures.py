"""What `refine_covariance` makes of data and starts that no likelihood can be maximised from."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.covariance.average_information import maximise
from mixedfx.covariance.inverse_information import inverse_information, standard_errors
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.design import build_design
from mixedfx.errors import ConvergenceError, ConvergenceWarning, DataError, MixedfxError
from mixedfx.linalg import probes as probing

Floats = np.ndarray
FORMULA = "y ~ x + (1 + x | g) + (1 | h)"


def crossed(family: str, n: int = 2000, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": rng.integers(0, 60, n), "h": rng.integers(0, 40, n), "x": rng.normal(size=n)})
    eta = (
        0.3
        + 0.5 * data["x"]
        + (0.8 * rng.normal(size=60))[data["g"]]
        + (0.5 * rng.normal(size=40))[data["h"]]
    )
    data["z"] = rng.normal(size=n)
    data["y"] = eta + rng.normal(size=n)
    if family != "gaussian":
        data["y"] = (rng.uniform(size=n) < 1 / (1 + np.exp(-eta))).astype(int)
    return data


def start(family: str, variance: float, *more: str) -> mfx.VarCorr:
    rows = [("g", name, variance) for name in ("(Intercept)", "x", *more)] + [("h", "(Intercept)", variance)]
    frame = pd.DataFrame(rows, columns=["grp", "var1", "vcov"]).assign(var2=None)
    if family == "gaussian":
        frame.loc[len(frame)] = ["Residual", None, 1.0, None]
    return mfx.VarCorr.from_frame(frame)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("apart", [1e-4, 1e-6])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_nearly_collinear_slopes_are_named(
    family: str, apart: float, complete: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not complete:
        monkeypatch.setattr(probing, "COMPLETE_WORK", 0)
    data = crossed(family, n=800).assign(v=lambda d: d["x"] + apart * d["z"])
    formula = "y ~ x + (1 + x + v | g) + (1 | h)"
    found, why = None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = mfx.refine_covariance(formula, data, start(family, 0.3, "v"), family=family)
        except ConvergenceError as error:
            why = str(error)
    if found is not None:
        why = found.varcorr.why
        assert found.converged or not found.varcorr.freezable
        assert not why or any(why in str(one.message) for one in caught)
        assert not (found.standard_errors["se"] == 0).any()
    if found is None or not found.converged:
        assert "'x', 'v', which have random coefficients for factor 'g', nearly determine" in why


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("variance", [1e300, 1e30, 1e12])
def test_a_start_out_of_all_proportion(family: str, variance: float) -> None:
    with pytest.raises(
        ConvergenceError, match=r"variance of '\(Intercept\)' of factor 'g' is out of all pro.*Start from"
    ):
        mfx.refine_covariance(FORMULA, crossed(family), start(family, variance), family=family)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("variance", [0.0, 1e-300, 1e4])
def test_a_start_far_off(family: str, variance: float) -> None:
    data = crossed(family)
    exact = mfx.learn_covariance(FORMULA, data, family=family)
    found = mfx.refine_covariance(FORMULA, data, start(family, variance), family=family)
    off = (found.standard_errors["vcov"] - exact.standard_errors["vcov"]).abs()
    scale = exact.standard_errors["se"].fillna(0.1 * exact.standard_errors["vcov"].abs())
    assert (off <= 0.01 * scale).all()
    assert found.loglik == pytest.approx(exact.loglik, abs=1e-4)


def test_accuracy_is_any_real_number() -> None:
    data = crossed("gaussian")
    found = mfx.refine_covariance(FORMULA, data, start("gaussian", 0.3), accuracy=np.float32(0.01))  # pyright: ignore[reportArgumentType]
    assert found.converged
    for wrong in (True, "0.1", 0, np.nan):
        with pytest.raises(MixedfxError, match="accuracy is"):
            mfx.refine_covariance(FORMULA, data, start("gaussian", 0.3), accuracy=wrong)  # pyright: ignore[reportArgumentType]


def test_no_information_is_no_standard_error() -> None:
    known = np.array([[4.0, 1.0], [1.0, 3.0]])
    np.testing.assert_allclose(inverse_information(known), np.linalg.inv(known), rtol=1e-14)
    information = np.zeros((4, 4))
    information[:2, :2] = known
    information[2:, 2:] = [[1e8, 1e8], [1e8, 1e8]]  # of the sum alone
    se = standard_errors(inverse_information(information))
    np.testing.assert_allclose(se[:2], np.sqrt(np.diag(np.linalg.inv(known))), rtol=1e-12)
    assert np.isnan(se[2:]).all()
    assert np.isnan(standard_errors(inverse_information(-np.eye(1)))).all()


class Drifting:
    """A likelihood of one variance whose gradient always says that there is more to gain, while the value falls."""

    def __init__(self, space: ParameterSpace, variance: float) -> None:
        self.space, self.variance = space, variance

    @property
    def vector(self) -> Floats:
        return self.space.vector(Covariances((np.array([[self.variance]]),), 1.0))

    def move(self, vector: Floats) -> Drifting:
        return Drifting(self.space, float(vector[0]))

    @property
    def loglik(self) -> float:
        return -10.0 * (self.variance - 1.0)

    def gradient(self) -> Floats:
        return np.array([1.0, 0.0])

    def average_information(self) -> Floats:
        return np.diag([100.0, 1.0])


def test_falls_do_not_add_up() -> None:
    """Each step falls by 0.1, less than a step may by chance; together they may not fall by more than that either."""
    data = pd.DataFrame({"y": np.arange(6.0), "g": [0, 0, 1, 1, 2, 2]})
    space = ParameterSpace.of(build_design("y ~ 1 + (1 | g)", data).predictors.terms)
    found = maximise(Drifting(space, 1.0), space, with_sigma=False, noise=lambda _: lambda _: 0.25)
    assert not found.converged
    assert found.at.loglik > -0.25 - 1e-9


def test_the_warning_says_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that a handful of steps would have ended, cut short."""
    from mixedfx.covariance import average_information
    from mixedfx.covariance.krylov import search

    monkeypatch.setattr(
        search, "maximise", lambda *a, **k: average_information.maximise(*a, **{**k, "max_iterations": 1})
    )
    with pytest.warns(
        ConvergenceWarning, match="a further step promises .* more log-likelihood, about .* Refine"
    ):
        found = mfx.refine_covariance(FORMULA, crossed("gaussian"), start("gaussian", 5.0))
    assert not found.converged
    assert not found.varcorr.freezable


INTERCEPTS = "y ~ x + (1 | g) + (1 | h)"
STARTS = pd.DataFrame(
    {"grp": ["g", "h", "Residual"], "var1": ["(Intercept)"] * 2 + [None], "vcov": [0.5, 0.3, 1.0]}
)


def intercepts() -> mfx.VarCorr:
    return mfx.VarCorr.from_frame(STARTS.assign(var2=None))


def test_separation_is_told_as_in_stage_one() -> None:
    data = crossed("bernoulli")
    with pytest.warns(ConvergenceWarning, match="the data separate.*'x'"):
        mfx.refine_covariance(
            INTERCEPTS, data.assign(y=(data["x"] > 0) * 1), intercepts(), family="bernoulli"
        )
    quasi = data.assign(group=np.where(np.arange(len(data)) % 7 == 0, "a", "b"))
    quasi["y"] = np.where(quasi["group"] == "a", 1, quasi["y"])
    with pytest.warns(ConvergenceWarning, match="the data separate.*'groupb'"):
        mfx.refine_covariance("y ~ group + (1 | g) + (1 | h)", quasi, intercepts(), family="bernoulli")
    tiny = data.iloc[:6].assign(x=range(6), y=[0, 0, 0, 1, 1, 1])
    with pytest.raises(DataError, match=r"complete separation; 'x'"):
        mfx.refine_covariance(INTERCEPTS, tiny, intercepts(), family="bernoulli")


def test_responses_that_effects_reproduce_are_refused() -> None:
    data = crossed("gaussian")
    with pytest.raises(DataError, match="the fixed effects reproduce the response 'y' exactly"):
        mfx.refine_covariance(INTERCEPTS, data.assign(y=2 * data["x"] + 1), intercepts())
    exact = data.assign(y=2 * data["x"] + np.sin(data["g"]) + np.cos(data["h"]))
    with pytest.raises(MixedfxError, match="reproduce the response"):
        mfx.refine_covariance(INTERCEPTS, exact, intercepts())


def test_an_offset_on_the_wrong_scale_is_named() -> None:
    data = crossed("gaussian").assign(exposure=np.arange(2000.0) + 1)
    data["y"] = np.random.default_rng(0).poisson(data["exposure"] / 500)
    formula = f"{INTERCEPTS} + offset(exposure)"
    why = r"offset of up to 2e\+03.*offset\(log\(exposure\)\)"
    with pytest.raises(DataError, match=why):
        mfx.refine_covariance(formula, data, intercepts(), family="poisson")
    with pytest.raises(DataError, match=why):
        mfx.learn_covariance(formula, data, family="poisson")


@pytest.mark.slow
def test_stated_errors_are_the_spread_over_seeds() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": rng.integers(0, 1000, 12_000), "h": rng.integers(0, 500, 12_000)})
    data["x"] = rng.normal(size=len(data))
    eta = 0.5 * data["x"] + 0.7 * rng.normal(size=1000)[data["g"]] + 0.5 * rng.normal(size=500)[data["h"]]
    data["y"] = (rng.uniform(size=len(data)) < 1 / (1 + np.exp(-eta))).astype(int)
    fits = [
        mfx.refine_covariance(INTERCEPTS, data, intercepts(), family="bernoulli", seed=seed, accuracy=0.02)
        for seed in range(40)
    ]
    spread = np.std([fit.standard_errors["vcov"] for fit in fits], axis=0, ddof=1)
    stated = np.sqrt(np.mean([np.square(fit.stats["monte_carlo_se"]) for fit in fits], axis=0))
    # Of 40 seeds a standard deviation is known to 11 %.
    assert np.all((spread / stated > 0.7) & (spread / stated < 1.3))
