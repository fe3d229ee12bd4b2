"""Stand-ins for both stages and their comparison, so that tests of the runner need no fitting."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mixedfx import datasets
from mixedfx.checks.standing_out import COLUMNS
from mixedfx.covariance.result import CovarianceResult
from mixedfx.varcorr import VarCorr

FORMULA = "y ~ 1 + x + (1 | user) + (1 | item)"


def covariance_result(n_rows: int, variance: float = 0.5) -> CovarianceResult:
    """A result with one intercept a factor."""
    frame = pd.DataFrame(
        {
            "grp": ["user", "item", "Residual"],
            "var1": ["(Intercept)", "(Intercept)", np.nan],
            "var2": np.nan,
            "vcov": [variance, 0.25, 1.0],
        }
    )
    varcorr = VarCorr.from_frame(frame)
    modes = {"user": pd.DataFrame({"(Intercept)": [0.5, -0.5]}, index=[1, 2])}
    modes["item"] = pd.DataFrame({"(Intercept)": [0.1, -0.1]}, index=["a", "b"])
    names = ["(Intercept)", "x"]
    return CovarianceResult(
        formula=FORMULA,
        family="gaussian",
        method="reml",
        varcorr=varcorr,
        fixef=pd.Series([1.0, 0.5], names),
        fixef_se=pd.Series([0.1, 0.05], names),
        ranef=modes,
        standard_errors=varcorr.to_frame().assign(se=[0.01, 0.02, 0.03]),
        loglik=-100.0,
        converged=True,
        boundary=(),
        stats={"evaluations": 5, "seconds": 0.25, "gradient": [0.0, 0.0]},
        n_rows=n_rows,
        n_levels={"user": 2, "item": 2},
    )


@dataclass(frozen=True, eq=False)
class Coefficients:
    """What the pipeline uses of stage 2's result."""

    fixef: pd.Series
    varcorr: VarCorr
    n_rows: int
    ranef: dict[str, pd.DataFrame]
    converged: bool = True
    reason: str = "gradient below the tolerance"
    stats: dict[str, Any] = field(default_factory=lambda: {"newton_iterations": 3, "cg_iterations": 12})
    thresholds: None = None

    @property
    def fixef_se(self) -> pd.Series:
        return self.fixef * 0.1

    def save(self, folder: Path) -> None:
        saved = {"fixef": self.fixef.to_dict(), "n_rows": self.n_rows}
        (folder / "coefficients.json").write_text(json.dumps(saved))
        self.varcorr.to_frame().to_csv(folder / "varcorr.csv")
        for factor, modes in self.ranef.items():
            modes.to_parquet(folder / f"ranef-{factor}.parquet")


def load_coefficients(folder: Path) -> Coefficients:
    saved = json.loads((folder / "coefficients.json").read_text())
    varcorr = VarCorr.from_frame(pd.read_csv(folder / "varcorr.csv"))
    ranef = {factor: pd.read_parquet(folder / f"ranef-{factor}.parquet") for factor in ("user", "item")}
    return Coefficients(pd.Series(saved["fixef"]), varcorr, saved["n_rows"], ranef)


@dataclass
class Stages:
    """Stand-ins that count their calls; a test may replace what one of them does."""

    calls: list[str] = field(default_factory=list)
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    freezable: bool = True
    status: str = "ok"

    def _enter(self, name: str, **arguments: Any) -> None:
        self.calls.append(name)
        self.arguments[name] = arguments
        self.before.get(name, lambda: None)()

    def learn_covariance(self, formula: str, data: pd.DataFrame, **settings: Any) -> CovarianceResult:
        self._enter("covariance", formula=formula, data=data, **settings)
        settings["progress"]("REML", 1, 5)
        result = covariance_result(len(data))
        why = "" if self.freezable else "R-hat of Sigma_user is 1.3 (limit 1.01): draw more."
        return replace(result, varcorr=replace(result.varcorr, freezable=self.freezable, why=why))

    def estimate_coefficients(
        self, formula: str, data: pd.DataFrame, varcorr: VarCorr, **settings: Any
    ) -> Coefficients:
        self._enter("coefficients", formula=formula, data=data, varcorr=varcorr, **settings)
        ranef = covariance_result(1).ranef
        return Coefficients(pd.Series({"(Intercept)": 1.1, "x": 0.4}), varcorr, len(data), dict(ranef))

    def compare_stages(self, cov: CovarianceResult, coef: Coefficients, **settings: Any) -> Comparison:
        self._enter("check", cov=cov, coef=coef, **settings)
        return Comparison(self.status)


@dataclass(frozen=True)
class Comparison:
    """What the pipeline uses of a comparison."""

    status: str
    verdict: str = "The stages agree <within> their errors.\nIn order: everything."

    @property
    def summary(self) -> pd.DataFrame:
        findings = {
            "checked": ["user (Intercept)", "stage 2"],
            "statistic": ["slope", "converged"],
            "value": [0.99, 1.0],
            "error": [0.01, np.nan],
            "expected": [1.0, 1.0],
            "threshold": [0.1, np.nan],
            "status": [self.status, "ok"],
            "says": ["slope of stage 2 on stage 1 0.99", "stage 2 converged"],
        }
        return pd.DataFrame(findings).set_index("checked")

    held_out: None = None
    full_data: str = "the full data were not given (data=)"

    @property
    def covariances(self) -> pd.DataFrame:
        frame = covariance_result(1).standard_errors
        return frame.assign(full=1.1 * frame["vcov"], se_full=frame["se"]).loc[
            :, ["grp", "var1", "var2", "full", "se_full"]
        ]

    @property
    def standing_out(self) -> pd.DataFrame:
        says = "user 2: y is 0.5 lower than at an average level, all else equal (90% interval -0.7 to -0.3); 10 rows"
        row = ["user", "(Intercept)", 2, -0.5, -0.7, -0.3, 10, says]
        return pd.DataFrame([row], columns=COLUMNS)

    def plot_stages(self) -> Any:
        """Stage 1 against stage 2.

        One point a level.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 1))
        figure.subplots().plot([0, 1])
        return figure


def install(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Replace both stages and the comparison by stand-ins, where the pipeline calls them."""
    stand_ins = Stages()
    names = SimpleNamespace(
        datasets=datasets,
        learn_covariance=stand_ins.learn_covariance,
        estimate_coefficients=stand_ins.estimate_coefficients,
        compare_stages=stand_ins.compare_stages,
        load_coefficients=load_coefficients,
    )
    monkeypatch.setattr("mixedfx.pipeline.steps.mfx", names)
    monkeypatch.setattr("mixedfx.pipeline.runner.mfx", names)
    return stand_ins


def write_ratings(path: Path) -> Path:
    """60 ratings of 10 items by 6 users, and a column that no formula names."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user": np.repeat(np.arange(6), 10), "item": np.tile(list("abcdefghij"), 6)})
    frame["x"] = rng.standard_normal(60)
    frame["y"] = frame["x"] + rng.standard_normal(60)
    frame["unused"] = 1
    frame.to_parquet(path)
    return path
