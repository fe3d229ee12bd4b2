"""Generalized linear mixed models with huge crossed random effects, in two stages.

Stage 1 learns the covariances of the random effects on a subsample (`learn_covariance`), stage 2 estimates
everybody's coefficients at those covariances (`estimate_coefficients`), and `compare_stages` checks the two
against each other and the full data. `fit` does all three.

The public names are loaded on first use, so that ``import mixedfx`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixedfx import datasets as datasets
    from mixedfx import errors as errors
    from mixedfx.api import fit as fit
    from mixedfx.checks.compare import compare_stages as compare_stages
    from mixedfx.coefficients.estimate import estimate_coefficients as estimate_coefficients
    from mixedfx.coefficients.saved import load_coefficients as load_coefficients
    from mixedfx.covariance.bootstrap import bootstrap as bootstrap
    from mixedfx.covariance.compare_models import compare_models as compare_models
    from mixedfx.covariance.confint import confint as confint
    from mixedfx.covariance.describe_priors import describe_priors as describe_priors
    from mixedfx.covariance.fixef_tests import test_fixef as test_fixef
    from mixedfx.covariance.learn import learn_covariance as learn_covariance
    from mixedfx.covariance.refine import refine_covariance as refine_covariance
    from mixedfx.covariance.saved import load_covariance as load_covariance
    from mixedfx.simulation import simulate as simulate
    from mixedfx.subsample import Subsample as Subsample
    from mixedfx.varcorr import VarCorr as VarCorr

_HOME = {
    "Subsample": "mixedfx.subsample",
    "VarCorr": "mixedfx.varcorr",
    "bootstrap": "mixedfx.covariance.bootstrap",
    "compare_models": "mixedfx.covariance.compare_models",
    "compare_stages": "mixedfx.checks.compare",
    "confint": "mixedfx.covariance.confint",
    "describe_priors": "mixedfx.covariance.describe_priors",
    "estimate_coefficients": "mixedfx.coefficients.estimate",
    "fit": "mixedfx.api",
    "learn_covariance": "mixedfx.covariance.learn",
    "load_coefficients": "mixedfx.coefficients.saved",
    "load_covariance": "mixedfx.covariance.saved",
    "refine_covariance": "mixedfx.covariance.refine",
    "simulate": "mixedfx.simulation",
    "test_fixef": "mixedfx.covariance.fixef_tests",
}
_MODULES = ("datasets", "errors")

__all__ = sorted([*_HOME, *_MODULES])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("mixedfx")
    if name in _MODULES:
        return import_module(f"mixedfx.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mixedfx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
