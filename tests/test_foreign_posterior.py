"""Covariances from other libraries' posteriors: forms of the variables, checks, errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

import mixedfx as mfx
from mixedfx.errors import DataError, SettingError

RNG = np.random.default_rng(0)
SHAPE = (4, 500)


def normal(mean: float, sd: float = 0.05) -> np.ndarray:
    return mean + sd * RNG.standard_normal(SHAPE)


SD = np.stack([normal(1.0), normal(0.5), normal(2.0)], axis=-1)
PAIRS = [normal(0.3), normal(-0.2), normal(0.1)]  # (1, 2), (1, 3), (2, 3)
COR = np.tile(np.eye(3), (*SHAPE, 1, 1))
for (i, j), values in zip([(0, 1), (0, 2), (1, 2)], PAIRS, strict=True):
    COR[..., i, j] = COR[..., j, i] = values
COVARIANCE = SD[..., :, None] * COR * SD[..., None, :]
NAMES = ["(Intercept)", "a", "b"]


def tree() -> xr.DataTree:
    coords = {"user_coef": NAMES}
    dims = ("chain", "draw")
    dataset = xr.Dataset(
        {
            "Sigma": ((*dims, "user_coef", "twin"), COVARIANCE),
            "sd_user": ((*dims, "user_coef"), SD),
            "cor_user": ((*dims, "user_coef", "twin"), COR),
            **{f"sd_user__{n}": (dims, SD[..., i]) for i, n in enumerate(["Intercept", "a", "b"])},
            **{f"cor_{k}": (dims, values) for k, values in enumerate(PAIRS)},
            "sigma": (dims, normal(1.5)),
            "turned": (("draw", "chain"), normal(0.7).T),
        },
        coords=coords,
    )
    statistics = xr.Dataset(
        {
            "diverging": (dims, np.zeros(SHAPE, dtype=bool)),
            "energy": (dims, RNG.standard_normal(SHAPE)),
        }
    )
    return xr.DataTree.from_dict({"posterior": dataset, "sample_stats": statistics})


DRAWS = tree()
FORMS: list[Any] = [
    "Sigma",
    {"covariance": "Sigma"},
    {"sd": "sd_user", "correlation": "cor_user"},
    {
        "sd": ["sd_user__Intercept", "sd_user__a", "sd_user__b"],
        "correlation": ["cor_0", "cor_1", "cor_2"],
        "coefficients": ["Intercept", "a", "b"],
    },
]


@pytest.mark.parametrize("form", FORMS)
def test_forms_give_the_mean_covariance(form: Any) -> None:
    vc = mfx.VarCorr.from_posterior(
        DRAWS, {"user": form, "item": {"sd": "turned"}, "Residual": {"sd": "sigma"}}
    )
    np.testing.assert_allclose(vc["user"], COVARIANCE.mean(axis=(0, 1)), atol=1e-12)
    assert list(vc["user"].columns) == NAMES
    assert vc.factors == ("user", "item")
    assert vc["item"].iloc[0, 0] == pytest.approx((DRAWS["posterior"]["turned"].to_numpy() ** 2).mean())
    assert vc.sigma2 == pytest.approx((DRAWS["posterior"]["sigma"].to_numpy() ** 2).mean())
    assert vc.freezable, vc.why
    assert vc.why == ""


def test_without_correlations_coefficients_are_independent() -> None:
    vc = mfx.VarCorr.from_posterior(DRAWS, {"user": {"variance": "sd_user"}})
    assert len(vc.to_frame()) == 3
    np.testing.assert_allclose(np.diag(vc["user"]), SD.mean(axis=(0, 1)))
    assert vc.sigma is None


def test_containers() -> None:
    """An InferenceData has groups as attributes; mappings of arrays and Datasets will do too."""
    names = {"user": {"sd": "turned"}}
    posterior, statistics = DRAWS["posterior"].to_dataset(), DRAWS["sample_stats"].to_dataset()

    class InferenceData(SimpleNamespace):
        def __getitem__(self, name: str) -> object:
            if not hasattr(self, name):
                raise KeyError(name)
            return getattr(self, name)

    given = [
        DRAWS,
        InferenceData(posterior=posterior, sample_stats=statistics),
        posterior,
        {"posterior": posterior},
        {"turned": posterior["turned"].transpose("chain", "draw").to_numpy()},
    ]
    values = [mfx.VarCorr.from_posterior(one, names)["user"].iloc[0, 0] for one in given]
    assert len(set(values)) == 1


def test_checks() -> None:
    apart = {"sd_g": normal(1.0) + np.arange(4)[:, None]}
    vc = mfx.VarCorr.from_posterior(apart, {"g": {"sd": "sd_g"}})
    assert not vc.freezable
    assert "R-hat of g (Intercept)" in vc.why
    assert "effective sample size" in vc.why
    forced = mfx.VarCorr.from_posterior(apart, {"g": {"sd": "sd_g"}}, force=True)
    assert forced.freezable
    assert forced.why == vc.why
    statistics = {"diverging": np.eye(*SHAPE, dtype=bool)}
    vc = mfx.VarCorr.from_posterior(
        {"posterior": {"sd_g": normal(1.0)}, "sample_stats": statistics}, {"g": {"sd": "sd_g"}}
    )
    assert vc.why.startswith("4 divergent")


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ({}, SettingError, "at least one factor"),
        ({"Residual": {"sd": "sigma"}}, SettingError, "at least one factor"),
        ({"user": {"sd": "nothere"}}, DataError, r"'user'.*'nothere'; there are: Sigma, sd_user"),
        ({"user": {"std": "sd_user"}}, SettingError, "'covariance', 'sd' and 'variance'"),
        (
            {"user": {"covariance": "Sigma", "correlation": "cor_user"}},
            SettingError,
            "names of factor 'user'",
        ),
        ({"user": {"covariance": "sd_user"}}, DataError, r"square.*\(3,\)"),
        ({"user": {"sd": "sd_user", "correlation": ["cor_0"]}}, DataError, "takes 3 correlations, not 1"),
        ({"user": {"sd": ["turned", "sigma"]}}, SettingError, "2 coefficients"),
        ({"user": {"sd": ["sd_user"]}}, DataError, "'sd_user' stands in a list"),
        ({"user": {"sd": "turned"}, "Residual": {"sd": "sd_user"}}, DataError, "single number"),
        ({"user": {"sd": "turned"}, "Residual": {"scale": "sigma"}}, SettingError, "'sd'.*'variance'"),
        ({"user": {"sd": "sd_user", "coefficients": ["a"]}}, SettingError, "3 coefficients"),
    ],
)
def test_errors_name_the_culprit(names: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mfx.VarCorr.from_posterior(DRAWS, names)


def test_draws_that_cannot_be() -> None:
    with pytest.raises(DataError, match="not finite"):
        mfx.VarCorr.from_posterior({"s": np.full(SHAPE, np.nan)}, {"g": {"sd": "s"}})
    with pytest.raises(DataError, match="below 0"):
        mfx.VarCorr.from_posterior({"s": normal(0.0)}, {"g": {"sd": "s"}})
    with pytest.raises(DataError, match="shape"):
        mfx.VarCorr.from_posterior({"s": np.ones(2000)}, {"g": {"sd": "s"}})
    with pytest.raises(DataError, match="chains and draws"):
        mfx.VarCorr.from_posterior(
            {"s": normal(1.0), "t": normal(1.0)[:2]}, {"g": {"sd": "s"}, "h": {"sd": "t"}}
        )


def test_our_own_posterior_comes_back() -> None:
    """What learn_covariance drew, read by its own names, is what it froze."""
    rng = np.random.default_rng(3)
    import pandas as pd

    g = rng.integers(0, 12, 200)
    data = pd.DataFrame({"y": rng.standard_normal(12)[g] + rng.standard_normal(200), "g": g})
    fit = mfx.learn_covariance("y ~ 1 + (1 | g)", data, method="nuts", draws=50, warmup=100, chains=2)
    vc = mfx.VarCorr.from_posterior(fit.posterior, {"g": "Sigma_g", "Residual": {"sd": "sigma"}})
    pd.testing.assert_frame_equal(vc.to_frame(), fit.varcorr.to_frame())
    assert vc.why == fit.varcorr.why
