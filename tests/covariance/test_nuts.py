"""Stage 1 by MCMC: agreement with likelihood, labels, diagnostics, reproducibility."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult
from mixedfx.families import get_family
from mixedfx.posterior_diagnostics import e_bfmi, reasons_not_to_freeze

FORMULA = "y ~ 1 + x + (1 + x | user) + (1 | item)"
THRESHOLDS = np.array([-1.0, 0.3, 1.2])
TRIALS = 4.0
TRUTH = pd.DataFrame(
    [
        ("user", "(Intercept)", None, 0.6),
        ("user", "x", None, 0.2),
        ("user", "(Intercept)", "x", 0.1),
        ("item", "(Intercept)", None, 0.4),
        ("Residual", None, None, 1.0),
    ],
    columns=["grp", "var1", "var2", "vcov"],
)


def simulated(family: str) -> pd.DataFrame:
    """Responses of any family to one linear predictor."""
    made = mfx.simulate(
        FORMULA,
        levels={"user": 60, "item": 30},
        n_rows=1500,
        beta={"(Intercept)": 1.0, "x": 0.5},
        varcorr=mfx.VarCorr.from_frame(TRUTH),
        activity="uniform",
        seed=7,
    )
    if family == "gaussian":
        return made.data
    of, trials = get_family(family), np.full(1500, TRIALS)
    auxiliary = THRESHOLDS if of.has_thresholds else None
    y = of.sample(made.truth.eta, np.random.default_rng(8), auxiliary, trials)
    return made.data.assign(y=y if family == "binomial" else y.astype(int), trials=trials)


def sampled(family: str, **options: object) -> CovarianceResult:
    settings = {"draws": 300, "warmup": 300, "chains": 2, "seed": 3} | options
    settings |= {"weights": "trials"} if family == "binomial" else {}
    return mfx.learn_covariance(FORMULA, simulated(family), family=family, method="nuts", **settings)


@pytest.fixture(scope="module")
def gaussian() -> CovarianceResult:
    return sampled("gaussian")


@pytest.fixture(scope="module")
def bernoulli() -> CovarianceResult:
    return sampled("bernoulli")


def test_agrees_with_reml(gaussian: CovarianceResult) -> None:
    """Posterior means differ from the REML mode by less than a posterior sd; modes of levels nearly agree."""
    reml = mfx.learn_covariance(FORMULA, simulated("gaussian"))
    table = gaussian.standard_errors
    shift = (table["vcov"] - reml.varcorr.to_frame()["vcov"]).abs() / table["se"]
    assert (shift < 1.0).all()
    assert (np.abs(table["se"] / reml.standard_errors["se"] - 1) < 0.5).all()
    np.testing.assert_allclose(gaussian.fixef, reml.fixef, atol=0.5 * reml.fixef_se.max())
    np.testing.assert_allclose(gaussian.fixef_se, reml.fixef_se, rtol=0.3)
    correlation = np.corrcoef(gaussian.ranef["user"]["x"], reml.ranef["user"]["x"])[0, 1]
    assert correlation > 0.98


@pytest.fixture(scope="module")
def cumulative() -> CovarianceResult:
    return sampled("cumulative")


@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "cumulative"])
def test_truth_is_within_reach(name: str, request: pytest.FixtureRequest) -> None:
    truth_within_reach(request.getfixturevalue(name))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_truth_is_within_reach_of_counts(family: str) -> None:
    truth_within_reach(sampled(family))


def truth_within_reach(fit: CovarianceResult) -> None:
    both = fit.standard_errors.merge(TRUTH, on=["grp", "var1", "var2"], suffixes=("", "_true"))
    assert len(both) == len(fit.standard_errors)
    assert (np.abs(both["vcov"] - both["vcov_true"]) < 4 * both["se"]).all()
    assert fit.stats["divergences"] == 0
    assert (fit.standard_errors["ess_bulk"] > 0.3 * 600).all()


def test_ordinal_models_have_thresholds(cumulative: CovarianceResult) -> None:
    ml = mfx.learn_covariance(FORMULA, simulated("cumulative"), family="cumulative")
    assert cumulative.fixef.index.tolist() == ["x"]
    assert cumulative.thresholds.index.tolist() == ml.thresholds.index.tolist()
    assert (np.abs(cumulative.thresholds - ml.thresholds) < 0.5 * ml.thresholds_se).all()
    np.testing.assert_allclose(cumulative.thresholds_se, ml.thresholds_se, rtol=0.35)
    alpha = cumulative.posterior["posterior"]["alpha"]
    assert alpha.dims == ("chain", "draw", "threshold")
    assert (np.diff(alpha.to_numpy(), axis=-1) > 0).all()


def test_an_interrupted_run_keeps_its_draws() -> None:
    """Ctrl-C arrives while the main thread reports; what all chains have by then is the result."""

    def impatient(label: str, done: float, total: float | None = None, note: str = "") -> None:  # noqa: ARG001
        if label == "sampling" and total and done > 0.6 * total:
            raise KeyboardInterrupt

    fit = sampled("gaussian", draws=4000, warmup=300, progress=impatient)
    assert fit.stats["interrupted"]
    assert "interrupted" in fit.varcorr.why
    assert 4 <= fit.posterior["posterior"].sizes["draw"] < 4000
    assert fit.posterior["posterior"]["b_user"].sizes["draw"] == fit.posterior["posterior"].sizes["draw"]


def test_priors_pull(gaussian: CovarianceResult) -> None:
    """A prior that is narrower than the likelihood moves the posterior, here one of NumPyro's."""
    import numpyro.distributions as dist

    priors = {"Sigma_item": {"sd": dist.HalfNormal(0.15)}}
    fit = sampled("gaussian", priors=priors, draws=100, force=True)
    own, base = (r.standard_errors.set_index("grp").loc["item"] for r in (fit, gaussian))
    assert base["vcov"] - own["vcov"] > base["se"]
    assert own["se"] < base["se"]


def test_frozen_is_the_mean_of_sigma_itself(gaussian: CovarianceResult) -> None:
    posterior = gaussian.posterior["posterior"]
    np.testing.assert_allclose(gaussian.varcorr["user"], posterior["Sigma_user"].mean(("chain", "draw")))
    assert gaussian.varcorr.sigma2 == pytest.approx(float((posterior["sigma"] ** 2).mean()))
    assert posterior["Sigma_user"].dims == ("chain", "draw", "user_coef", "user_coef_bis")
    assert posterior["b_user"].dims == ("chain", "draw", "user", "user_coef")
    assert posterior["user_coef"].to_numpy().tolist() == ["(Intercept)", "x"]
    assert set(posterior["user"].to_numpy()) == set(gaussian.ranef["user"].index)
    statistics = set(gaussian.posterior["sample_stats"].data_vars)
    assert statistics == {
        "lp",
        "acceptance_rate",
        "step_size",
        "tree_depth",
        "n_steps",
        "diverging",
        "energy",
    }


def test_freezable_where_explored(gaussian: CovarianceResult) -> None:
    assert gaussian.varcorr.freezable == (gaussian.varcorr.why == "")
    assert gaussian.converged == gaussian.varcorr.freezable
    assert {"se", "mcse", "ess_bulk", "ess_tail", "r_hat", "q05", "q95"} <= set(gaussian.standard_errors)


def test_too_few_draws_are_not_frozen() -> None:
    fit = sampled("gaussian", draws=20, warmup=300)
    assert not fit.varcorr.freezable
    assert "effective sample size" in fit.varcorr.why
    assert not fit.converged
    with pytest.raises(mfx.errors.NotFreezableError, match="effective sample size"):
        mfx.estimate_coefficients(FORMULA, simulated("gaussian"), fit)
    forced = sampled("gaussian", draws=20, warmup=300, force=True)
    assert forced.varcorr.freezable
    assert "effective sample size" in forced.varcorr.why
    assert forced.stats["forced"]
    np.testing.assert_array_equal(forced.varcorr["user"], fit.varcorr["user"])


def test_the_callers_jax_settings_are_left_alone(gaussian: CovarianceResult) -> None:  # noqa: ARG001
    import jax

    assert not jax.config.jax_enable_x64


def test_structural_zero() -> None:
    fit = mfx.learn_covariance(
        FORMULA.replace("(1 + x | user)", "(1 + x || user)"),
        simulated("gaussian"),
        method="nuts",
        draws=50,
        warmup=100,
        chains=1,
    )
    assert fit.varcorr["user"].iloc[0, 1] == 0
    assert len(fit.varcorr.to_frame()) == 4
    assert not fit.posterior["posterior"]["Sigma_user"][..., 0, 1].any()


def test_settings_are_checked() -> None:
    with pytest.raises(mfx.errors.SettingError, match="chains is 0"):
        sampled("gaussian", chains=0)


def test_each_fault_is_named() -> None:
    table = pd.DataFrame(
        {
            "grp": ["g", "g"],
            "var1": ["(Intercept)", "x"],
            "var2": [np.nan, np.nan],
            "r_hat": 1.0,
            "ess_bulk": 900.0,
        }
    )
    rng = np.random.default_rng(0)
    fine = {"diverging": np.zeros((2, 500), dtype=bool), "energy": rng.standard_normal((2, 500))}
    assert reasons_not_to_freeze(table, fine) == []
    assert "g x is 1.200" in reasons_not_to_freeze(table.assign(r_hat=[1.0, 1.2]), fine)[0]
    assert "g (Intercept) is 30" in reasons_not_to_freeze(table.assign(ess_bulk=[30.0, 900.0]), fine)[0]
    assert "is nan" in reasons_not_to_freeze(table.assign(r_hat=[np.nan, 1.0]), fine)[0]
    diverged = fine | {"diverging": np.eye(2, 500, dtype=bool)}
    assert reasons_not_to_freeze(table, diverged)[0].startswith("2 divergent")
    slow = fine | {"energy": np.cumsum(rng.standard_normal((2, 500)), axis=1)}
    assert e_bfmi(slow["energy"]).max() < 0.3
    assert "E-BFMI" in reasons_not_to_freeze(table, slow)[0]
