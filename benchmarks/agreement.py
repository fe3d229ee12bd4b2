"""Every golden model of R (``tests/golden``) fitted here, number beside number. R itself is not needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

import mixedfx as mfx
from mixedfx.covariance.result import CovarianceResult
from tests import goldens
from tests.goldens import Golden

KEYS = ["grp", "var1", "var2"]


@dataclass(frozen=True, eq=False)
class Agreement:
    """One model, by R and here.

    Attributes
    ----------
    golden
        What R says.
    fit
        The same model here, from the same data and by the same method.
    """

    golden: Golden
    fit: CovarianceResult

    @cached_property
    def fixed(self) -> pd.DataFrame:
        """Fixed effects and thresholds: ``R``, ``here``, ``difference`` (over R's se), ``se R``, ``se here``."""
        golden, fit = self.golden, self.fit
        se = golden.fixef_se if golden.fixef_se_hessian is None else golden.fixef_se_hessian
        parts = [(golden.fixef, se, fit.fixef, fit.fixef_se)]
        if golden.thresholds is not None:
            parts.append((golden.thresholds, golden.thresholds_se, fit.thresholds, fit.thresholds_se))
        frames = []
        for theirs, their_se, ours, our_se in parts:
            assert their_se is not None
            assert ours is not None
            assert our_se is not None
            names = theirs.index
            frame = pd.DataFrame(
                {"R": theirs, "here": ours[names], "difference": (ours[names] - theirs) / their_se}
            )
            frames.append(frame.assign(**{"se R": their_se, "se here": our_se[names]}))
        return pd.concat(frames)

    @cached_property
    def covariances(self) -> pd.DataFrame:
        """Standard deviations and correlations: ``R``, ``here``, ``difference`` (of an sd relative to it unless 0)."""
        ours = self.fit.varcorr.to_frame()
        both = self.golden.varcorr.merge(ours, on=KEYS, how="left", suffixes=("_r", ""))
        difference = both["sdcor"] - both["sdcor_r"]
        is_sd = both["var2"].isna() & (both["sdcor_r"] > 0)
        both["difference"] = difference / both["sdcor_r"].where(is_sd, 1.0)
        return both.rename(columns={"sdcor_r": "R", "sdcor": "here"})[[*KEYS, "R", "here", "difference"]]

    @cached_property
    def modes(self) -> pd.DataFrame:
        """Each factor's coefficients: ``levels``, ``sd`` by R, largest difference of a ``mode`` in units of that, and
        of a ``conditional sd`` relative to R's (NaN where R gives none)."""
        rows = []
        for factor, theirs in self.golden.ranef.items():
            ours, variances = _as_in(self.fit.ranef[factor], theirs), self.golden.condvar.get(factor)
            sds = _as_in(self.fit.ranef_sd(factor), theirs)
            for i, name in enumerate(theirs.columns):
                mine = (self.golden.varcorr["grp"] == factor) & (self.golden.varcorr["var1"] == name)
                sd = float(
                    self.golden.varcorr.loc[mine & self.golden.varcorr["var2"].isna(), "sdcor"].iloc[0]
                )
                moved = np.abs(ours[name] - theirs[name]).max() / (sd or 1.0)
                conditional = np.nan
                if variances is not None and sd > 0:
                    expected = np.sqrt(variances[:, i, i])
                    conditional = float(np.max(np.abs(sds[name].to_numpy() / expected - 1)))
                rows.append((factor, name, len(theirs), sd, moved, conditional))
        return pd.DataFrame(rows, columns=["factor", "coefficient", "levels", "sd", "mode", "conditional sd"])

    def overview(self) -> dict[str, float]:
        """Largest differences of each kind."""
        return {
            "criterion": self.fit.deviance - self.golden.criterion,
            "estimates": float(self.fixed["difference"].abs().max()),
            "se": float((self.fixed["se here"] / self.fixed["se R"] - 1).abs().max()),
            "covariances": float(self.covariances["difference"].abs().max()),
            "modes": float(self.modes["mode"].max()),
            "conditional sd": float(self.modes["conditional sd"].max()),
        }


@dataclass(frozen=True, eq=False)
class TestsAgreement:
    """One fit's table of fixed effects by lmerTest and here.

    Attributes
    ----------
    name, formula, data, method
        Of the fit.
    table
        Rows: fixed effects; columns: t by R, df and p-value by R and here.
    joint
        F-tests of several coefficients: names, F, denominator df and p-value, by R and here.
    """

    name: str
    formula: str
    data: str
    method: str
    table: pd.DataFrame
    joint: pd.DataFrame


def agreement(case: str) -> Agreement:
    """Fit one golden model here."""
    golden = goldens.load(case)
    method = golden.method if golden.method in ("reml", "ml") else "ml"
    fit = mfx.learn_covariance(
        golden.formula,
        golden.data(),
        family=golden.family,
        method=method,
        weights=golden.weights,
        nagq=1 if golden.nagq is None else golden.nagq,
    )
    return Agreement(golden, fit)


def test_names() -> list[str]:
    """Fits of lmerTest."""
    return list(_lmertest()["cases"])


def tests_agreement(names: list[str]) -> Iterator[TestsAgreement]:
    """lmerTest's degrees of freedom, p-values and F-tests, beside ours."""
    for name in names:
        case = _lmertest()["cases"][name]
        weights = None if case["weights"] is None else np.array(case["weights"])
        data = goldens.data(case["data"])
        fit = mfx.learn_covariance(
            case["formula"], data, method=case["method"], weights=weights, satterthwaite=True
        )
        ours = fit.fixef_table().loc[case["names"]]
        columns = {
            "t R": case["t"],
            "df R": case["df"],
            "df here": ours["df"],
            "p R": case["p"],
            "p here": ours["Pr(>|t|)"],
        }
        rows = []
        for test in case["tests"]:
            got = mfx.test_fixef(fit, test["names"])
            pairs = (("F", "F"), ("denominator", "denominator_df"), ("p", "p"))
            numbers = [value for theirs, mine in pairs for value in (test[theirs], got[mine])]
            rows.append((", ".join(test["names"]), *numbers))
        joint = pd.DataFrame(rows, columns=["tested", "F R", "F here", "df R", "df here", "p R", "p here"])
        table = pd.DataFrame(columns, index=case["names"])
        yield TestsAgreement(name, case["formula"], case["data"], case["method"], table, joint)


def versions(cases: list[str]) -> dict[str, str]:
    """R and its packages, as the goldens record them."""
    recorded = [dict(goldens.load(case).versions) for case in cases]
    found: dict[str, set[str]] = {}
    for one in [*recorded, _lmertest()["versions"]]:
        for name, version in one.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(numbers)) for name, numbers in found.items()}


def _lmertest() -> dict[str, Any]:
    return json.loads((goldens.FOLDER / "satterthwaite" / "satterthwaite.json").read_text())


def _as_in(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Rows and columns as R has them."""
    return ours.set_axis(ours.index.astype(str)).loc[theirs.index, theirs.columns]
