"""Priors follow the scale of the data, may be set by name, and are shown."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from problems import RESPONSES, frame
from scipy.optimize import approx_fprime

import mixedfx as mfx
from mixedfx.covariance.prior_density import grouped, log_prior
from mixedfx.covariance.prior_distributions import ARGUMENTS, PriorDistribution
from mixedfx.covariance.priors import Priors, centring, choose_priors
from mixedfx.design import Design, build_design
from mixedfx.errors import SettingError
from mixedfx.families import get_family

GAUSSIAN = get_family("gaussian")


def data(scale: float = 1.0, unit: float = 1.0, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(200)
    g = rng.integers(0, 10, 200)
    y = scale * (x + rng.standard_normal(200)) + 5
    return pd.DataFrame({"y": y, "x": unit * x + shift, "g": g})


def design(scale: float = 1.0, unit: float = 1.0, shift: float = 0.0) -> Design:
    return build_design("y ~ 1 + x + (1 + x | g)", data(scale, unit, shift))


def scales(distributions: tuple[PriorDistribution, ...]) -> list[float]:
    return [d.scale for d in distributions]


def chosen(given: dict[str, Any] | None = None) -> Priors:
    return choose_priors(design(), GAUSSIAN, given)


def test_scales_follow_units() -> None:
    base = chosen()
    sd = design().y.std()
    assert base.fixed[0].arguments == pytest.approx((design().y.mean(), 2.5 * sd))
    assert base.sigma.arguments == pytest.approx((3, sd))
    other = choose_priors(design(scale=10, unit=0.1), GAUSSIAN)
    np.testing.assert_allclose(scales(other.fixed), np.array(scales(base.fixed)) * [10, 100])
    np.testing.assert_allclose(scales(other.sd["g"]), np.array(scales(base.sd["g"])) * [10, 100])


def test_the_intercept_is_about_the_mean_of_the_columns() -> None:
    beta = np.array([1.0, 2.0])
    for shift in (0.0, 7.0):
        d = design(shift=shift)
        at_mean, slope = centring(d) @ beta
        assert at_mean == pytest.approx((d.predictors.X() @ beta).mean())
        assert slope == 2.0


def test_thresholds_are_about_the_mean_of_the_columns() -> None:
    d = build_design("o ~ 1 + x + (1 | g)", frame(np.random.default_rng(3)), family="cumulative")
    theta = np.array([0.7, -1.0, 0.0, 1.0])  # x, three thresholds
    np.testing.assert_allclose(
        centring(d) @ theta, theta - 0.7 * d.predictors.X().mean() * np.array([0, 1, 1, 1])
    )


def test_scales_of_links_do_not_see_the_response() -> None:
    rows = frame(np.random.default_rng(1))
    for family in ("bernoulli", "cumulative", "poisson"):
        of = get_family(family)
        priors = choose_priors(build_design(f"{RESPONSES[family]} ~ 1 + (1 | g)", rows, family=family), of)
        assert set(scales(priors.sd["g"])) == {2.5}
        assert priors.sigma is None
        if family == "poisson":  # the intercept is where the mean count is
            assert priors.fixed[0].arguments == pytest.approx((np.log(rows["count"].mean()), 2.5))
        if family == "cumulative":
            assert [d.arguments for d in priors.thresholds] == [(0.0, 10.0)] * 3


def test_given_values_replace_defaults() -> None:
    base = chosen()
    priors = chosen(
        {
            "beta": {"x": 0.5},
            "Sigma_g": {"sd": {"(Intercept)": {"half_t": [4, 2]}}, "correlation": {"lkj": 1}},
            "sigma": {"exponential": 3},
        }
    )
    assert scales(priors.fixed) == [base.fixed[0].scale, 0.5]
    assert priors.fixed[1].name == "normal"
    assert str(priors.sd["g"][0]) == "half_t(4, 2)"
    assert priors.sd["g"][1].arguments == base.sd["g"][1].arguments
    assert (str(priors.sigma), priors.correlation) == ("exponential(3)", {"g": 1.0})
    assert scales(chosen({"Sigma": {"sd": 4}}).sd["g"]) == [4, 4]
    own = {"Sigma_g": {"sd": 5}, "Sigma": {"sd": 4, "correlation": 7}}
    assert scales(chosen(own).sd["g"]) == [5, 5]
    assert chosen(own).correlation == {"g": 7.0}
    assert chosen({"Sigma_g": {"correlation": dist.LKJ(2, 5.0)}}).correlation == {"g": 5.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Sigma_h": {"sd": 1}}, r"'Sigma_h'.*beta, sigma, Sigma, Sigma_g"),
        ({"thresholds": 1}, "'thresholds'"),
        ({"Sigma_g": 1}, r"Sigma_g.*'sd', 'correlation'"),
        ({"Sigma_g": {"sds": 1}}, r"Sigma_g.*'sd', 'correlation'"),
        ({"Sigma_g": {"sd": {"z": 1}}}, r"'z'.*\(Intercept\), x.*half_t"),
        ({"Sigma_g": {"sd": {"normal": [0, 1]}}}, "'normal'.*lives on all real numbers.*half_normal"),
        ({"beta": {"half_t": [3, 1]}}, "'half_t'.*lives on numbers above 0"),
        ({"beta": {"x": {"half": 1}}}, r"beta x names distribution 'half'; there are: normal"),
        ({"beta": {"normal": [0, 1, 2]}}, r"takes \(loc, scale\)"),
        ({"beta": {"normal": [0, -1]}}, "scale of 'normal' must be a number above 0, not -1"),
        ({"beta": {"normal": ["a", 1]}}, "loc of 'normal' must be a finite number, not 'a'"),
        ({"sigma": 0}, "sigma is 0"),
        ({"Sigma": {"correlation": True}}, "Sigma correlation is True"),
        ({"Sigma": {"correlation": {"beta": 2}}}, '"lkj"'),
        ({"beta": {"x": np.nan}}, "beta x is nan"),
        ({"sigma": dist.Normal(0, 1)}, "sigma is a Normal, which does not live on numbers above 0"),
        ({"beta": dist.Normal(np.zeros(2), 1.0)}, r"Normal of shape \(2,\)"),
    ],
)
def test_unusable_priors_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        chosen(given)


GIVEN = {
    "normal": (0.3, 1.2),
    "student_t": (4.0, 0.3, 1.2),
    "cauchy": (0.3, 1.2),
    "laplace": (0.3, 1.2),
    "half_normal": (1.2,),
    "half_t": (4.0, 1.2),
    "half_cauchy": (1.2,),
    "exponential": (1.2,),
    "gamma": (2.0, 1.2),
    "lognormal": (0.3, 1.2),
}


def test_densities_are_numpyros() -> None:
    """By name, in NumPy and JAX, against the distributions themselves, up to a constant."""
    assert set(GIVEN) == set(ARGUMENTS)
    half_t = dist.FoldedDistribution(dist.StudentT(4.0, 0.0, 1.2))
    classes = {"half_t": lambda *_: half_t}
    with jax.enable_x64(True):
        for name, arguments in GIVEN.items():
            own = PriorDistribution(name, arguments)
            word = {"student_t": "StudentT", "lognormal": "LogNormal"}.get(
                name, "".join(part.capitalize() for part in name.split("_"))
            )
            theirs = classes.get(name, getattr(dist, word, None))(*arguments)
            x = np.array([0.4, 0.9, 2.5])
            expected = np.asarray(theirs.log_prob(x))
            log_density = [own.log_density(value)[0] for value in x]
            np.testing.assert_allclose(np.diff(log_density), np.diff(expected), atol=1e-12)
            slopes = [approx_fprime([v], lambda t, d=own: d.log_density(t[0])[0])[0] for v in x]
            np.testing.assert_allclose([own.log_density(v)[1] for v in x], slopes, rtol=1e-4, atol=1e-6)
            kinds, given = grouped([own] * 3)
            assert float(log_prior(kinds, given, jnp.asarray(x))) == pytest.approx(expected.sum())


def test_numpyro_distributions_are_used_as_they_are() -> None:
    priors = chosen({"beta": {"x": dist.StudentT(5, 0, 1)}, "sigma": dist.HalfNormal(2)})
    value, slope = priors.sigma.log_density(1.5)
    assert value == pytest.approx(float(dist.HalfNormal(2).log_prob(1.5)), abs=1e-6)
    assert slope == pytest.approx(-1.5 / 4)
    kinds, arguments = grouped(priors.fixed)
    assert len(kinds) == 2
    total = sum(d.log_prob(0.5) for d in (dist.Normal(*priors.fixed[0].arguments), dist.StudentT(5, 0, 1)))
    assert float(log_prior(kinds, arguments, jnp.array([0.5, 0.5]))) == pytest.approx(float(total), rel=1e-5)
    assert str(priors.fixed[1]) == "numpyro StudentT"


def test_describe_priors_shows_what_is_used() -> None:
    given = {"Sigma_g": {"sd": {"x": {"exponential": 2}}}}
    table = mfx.describe_priors("y ~ 1 + x + (1 + x | g)", data(), priors=given)
    assert list(table.columns) == ["name", "coefficient", "distribution", "scale", "meaning"]
    assert table["name"].tolist() == [
        "beta",
        "beta",
        "Sigma_g sd",
        "Sigma_g sd",
        "Sigma_g correlation",
        "sigma",
    ]
    assert table["distribution"].iloc[3:5].tolist() == ["exponential(2)", "lkj(2)"]
    assert table["scale"].iloc[3] == 0.5
    ordinal = mfx.describe_priors("o ~ x + (1 | g)", frame(np.random.default_rng(3)), family="cumulative")
    assert ordinal["name"].tolist() == ["beta", *["thresholds"] * 3, "Sigma_g sd"]
    assert ordinal["coefficient"].iloc[1:4].tolist() == ["0|1", "1|2", "2|3"]
    with pytest.raises(SettingError, match="Sigma_h"):
        mfx.describe_priors("y ~ 1 + (1 | g)", data(), priors={"Sigma_h": {"sd": 1}})
