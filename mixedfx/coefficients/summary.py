"""The printed summary of stage 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx.summary import Section, Summary

if TYPE_CHECKING:
    from mixedfx.coefficients.result import CoefficientsResult


def summarise(result: CoefficientsResult) -> Summary:
    """Fixed effects, covariances used, size and convergence."""
    stats = result.stats
    fixed = pd.DataFrame({"Estimate": result.fixef, "Std. Error": result.fixef_se})
    ratio = "t value" if result.family == "gaussian" else "z value"
    fixed[ratio] = fixed["Estimate"] / fixed["Std. Error"]
    thresholds = ()
    if result.thresholds is not None:
        table = pd.DataFrame({"Estimate": result.thresholds, "Std. Error": result.thresholds_se})
        table["z value"] = table["Estimate"] / table["Std. Error"]
        thresholds = (Section("Thresholds", table=table),)
    sizes = ", ".join(f"{name} {len(frame):,}" for name, frame in result.ranef.items())
    coefficients = sum(frame.size for frame in result.ranef.values()) + len(result.fixef)
    mixed = len(result.mixture.components)
    draws = f" (mixed over {mixed} draws of Sigma; the first is shown)" if mixed > 1 else ""
    return Summary(
        "Coefficients at fixed covariances [joint mode of fixed effects and random coefficients]",
        (
            Section(
                "",
                (
                    f"Formula: {result.formula}",
                    f" Family: {result.family}",
                    f"   Data: {result.n_rows:,} rows; levels: {sizes}; {coefficients:,} coefficients",
                ),
            ),
            Section(f"Covariances, as given{draws}", table=result.varcorr.to_frame(), show_index=False),
            Section("Fixed effects", table=fixed),
            *thresholds,
            Section(
                "Convergence",
                (
                    f"{'converged' if result.converged else 'NOT converged'}: {result.reason}",
                    f"{stats['newton_iterations']} Newton steps, {stats['cg_iterations']} CG iterations, "
                    f"{stats['passes']} passes over the rows, {stats['seconds']:.2f} s; "
                    f"scaled gradient {stats['grad_norm']:.1e}",
                    *_connected(stats),
                ),
            ),
        ),
    )


def _connected(stats: Mapping[str, Any]) -> tuple[str, ...]:
    """A line where levels fall into components that share no row, directly or through others."""
    components = stats.get("components", 1)
    if components == 1:
        return ()
    return (
        f"the levels fall into {components:,} groups that no row connects (the largest has "
        f"{stats['largest_component']:.1%} of the rows): "
        "levels of different groups are compared through the prior only",
    )
