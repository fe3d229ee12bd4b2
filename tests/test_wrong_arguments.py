"""Every argument of stage 1's public functions, given a value of every wrong type: an error of ours, never a traceback
from the depths."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedfx as mfx
from mixedfx.errors import MixedfxError

FORMULA = "y ~ 1 + x + (1 | g)"
WRONG = {
    "number": 3,
    "negative": -1,
    "fraction": 2.5,
    "nan": np.nan,
    "true": True,
    "text": "zzz",
    "bytes": b"zzz",
    "list": [1, 2],
    "tuple": (),
    "dict": {"zzz": 1},
    "array": np.arange(3.0),
    "frame": pd.DataFrame({"zzz": [1.0, 2.0]}),
    "series": pd.Series([1.0, 2.0]),
    "function": len,
    "class": dict,
    "object": object(),
}


@cache
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    g = np.arange(60) % 6
    x = rng.standard_normal(60)
    return pd.DataFrame({"y": x + g + rng.standard_normal(60), "x": x, "g": g})


@cache
def first() -> Any:
    return mfx.learn_covariance(FORMULA, data(), method="ml")


@cache
def smaller() -> Any:
    return mfx.learn_covariance("y ~ 1 + (1 | g)", data(), method="ml")


@cache
def restricted() -> Any:
    return mfx.learn_covariance(FORMULA, data())


@cache
def second() -> Any:
    return mfx.estimate_coefficients(FORMULA, data(), first())


def learn(**arguments: Any) -> Any:
    return mfx.learn_covariance(**{"formula": FORMULA, "data": data(), **arguments})


def refine(**arguments: Any) -> Any:
    defaults = {"formula": FORMULA, "data": data(), "varcorr": first().varcorr}
    return mfx.refine_covariance(**{**defaults, **arguments})


def confint(**arguments: Any) -> Any:
    defaults = {"fit": first(), "data": data(), "method": "boot", "n": 1}
    return mfx.confint(**{**defaults, **arguments})


def profile(**arguments: Any) -> Any:
    return mfx.confint(**{"fit": first(), "data": data(), "parameters": "sigma", **arguments})


def bootstrap(**arguments: Any) -> Any:
    return mfx.bootstrap(**{"fit": first(), "data": data(), "n": 1, **arguments})


def compare(**arguments: Any) -> Any:
    fits = [arguments.pop("first", restricted()), arguments.pop("second", smaller())]
    return mfx.compare_models(*fits, **{"data": data(), **arguments})


def stages(**arguments: Any) -> Any:
    return mfx.compare_stages(**{"cov": first(), "coef": second(), **arguments})


def fixef_test(**arguments: Any) -> Any:
    return mfx.test_fixef(**{"fit": first(), "contrasts": ["x"], **arguments})


def simulate(**arguments: Any) -> Any:
    defaults = {
        "formula": FORMULA,
        "levels": {"g": 4},
        "n_rows": 20,
        "beta": {"(Intercept)": 0.0, "x": 1.0},
        "varcorr": first().varcorr,
    }
    return mfx.simulate(**{**defaults, **arguments})


def ranef_sd(**arguments: Any) -> Any:
    return first().ranef_sd(**arguments)


def intervals(**arguments: Any) -> Any:
    return first().intervals(**arguments)


def save(**arguments: Any) -> Any:
    return first().save(**arguments)


CALLS: dict[Callable[..., Any], dict[str, str]] = {
    # argument -> the values that are right, or not looked at where nothing needs them
    learn: {
        "formula": "",
        "data": "",
        "family": "",
        "method": "",
        "subsample": "",
        "weights": "",
        "nagq": "",
        "satterthwaite": "true",
        "priors": "dict",
        "draws": "",
        "warmup": "number",
        "chains": "number",
        "start": "",
        "force": "true",
        "na": "",
        "seed": "number",
        "progress": "true function class",
    },
    refine: {
        "formula": "",
        "data": "",
        "varcorr": "",
        "family": "",
        "method": "",
        "weights": "",
        "accuracy": "",
        "na": "",
        "seed": "number",
        "progress": "true function class",
    },
    confint: {
        "fit": "",
        "data": "",
        "method": "",
        "parameters": "tuple",
        "level": "",
        "weights": "",
        "n": "number",
        "kind": "",
        "seed": "number",
        "folder": "text",
        "progress": "true function class",
    },
    profile: {"fit": "", "data": "", "parameters": "tuple", "level": "", "weights": ""},
    bootstrap: {
        "fit": "",
        "data": "",
        "n": "number",
        "seed": "number",
        "weights": "",
        "folder": "text",
        "progress": "true function class",
    },
    compare: {"first": "", "second": "", "data": "", "weights": "", "names": "list series"},
    stages: {"cov": "", "coef": "", "data": "", "holdout": "", "refined": "", "thresholds": ""},
    fixef_test: {"fit": "", "contrasts": ""},
    simulate: {
        "formula": "",
        "levels": "",
        "n_rows": "number",
        "beta": "",
        "varcorr": "",
        "family": "",
        "activity": "",
        "seed": "number",
    },
    mfx.Subsample: {
        "strategy": "",
        "n_rows": "number",
        "n_levels": "number",
        "fraction": "",
        "target_se": "",
        "factor": "text",
        "replicates": "number",
        "seed": "number",
        "stratify": "true",
    },
    mfx.VarCorr.from_frame: {"frame": ""},
    mfx.load_covariance: {"folder": ""},
    ranef_sd: {"factor": ""},
    intervals: {"level": ""},
    save: {"folder": "text"},
}
CASES = [
    pytest.param(call, argument, kind, id=f"{call.__name__}-{argument}-{kind}")
    for call, arguments in CALLS.items()
    for argument, right in arguments.items()
    for kind in WRONG
    if kind not in right.split()
]


@pytest.mark.parametrize(("call", "argument", "kind"), CASES)
def test_wrong_types(
    call: Callable[..., Any], argument: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MixedfxError):
        call(**{argument: WRONG[kind]})
