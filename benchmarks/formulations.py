"""NUTS in other coordinates: what mixedfx's own are worth.

The same model, priors, warm-up and compiled code; only what the coordinates are told of the data differs
(`mixedfx.covariance.geometry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import jax
import numpy as np
import pandas as pd

from benchmarks.sampling import Case
from mixedfx.covariance.chains import Start, run_chains
from mixedfx.covariance.information import LevelInformation, level_information
from mixedfx.covariance.mixed_model import model_data, model_spec
from mixedfx.covariance.parameters import ParameterSpace
from mixedfx.covariance.posterior import covariance_draws, posterior_mean
from mixedfx.covariance.priors import choose_priors
from mixedfx.covariance.reference import reference_point
from mixedfx.covariance.starts import start_chains
from mixedfx.design import build_design
from mixedfx.families import get_family
from mixedfx.posterior_diagnostics import entry_table
from mixedfx.progress import reporter

USERS = 200
"""Of MovieLens-100K, so that the poor coordinates end on the same day."""
DRAWS, WARMUP, CHAINS = 250, 300, 4
CENTRED = 1e4
"""Information, as a multiple of the prior's, at which coordinates are all but the coefficients themselves."""


@dataclass(frozen=True)
class Formulation:
    """One run.

    Attributes
    ----------
    ess, r_hat
        Smallest effective size and largest R-hat of a covariance entry, from 4 x 250 draws after 300.
    steps
        Leapfrog steps a draw.
    ess_per_gradient
        Effective draws for 1,000 of them, warm-up left out.
    divergences
        After warm-up.
    """

    case: str
    rows: int
    formulation: str
    ess: float
    r_hat: float
    steps: float
    ess_per_gradient: float
    divergences: int
    seconds: float


type Informed = Mapping[str, LevelInformation]


def _own(information: Informed) -> Informed:
    return information


def _non_centred(information: Informed) -> Informed:
    return {name: _blind(levels, 0.0) for name, levels in information.items()}


def _centred(information: Informed) -> Informed:
    return {name: _blind(levels, CENTRED) for name, levels in information.items()}


def _by_factor(information: Informed) -> Informed:
    """Centred where most levels have more information than the prior."""
    rich = {name: float(np.median(levels.reliability())) > 0.5 for name, levels in information.items()}
    return {n: _blind(levels, CENTRED if rich[n] else 0.0) for n, levels in information.items()}


def _without_means(information: Informed) -> Informed:
    """Fixed effects and the means of the levels as they are, tied by "raise all levels, lower the intercept"."""
    return {
        name: replace(
            levels, projection=np.zeros_like(levels.projection), shift_residual=levels.shift_precision
        )
        for name, levels in information.items()
    }


FORMULATIONS: dict[str, Callable[[Informed], Informed]] = {
    "by each level's information": _own,
    "without level means": _without_means,
    "non-centred": _non_centred,
    "centred": _centred,
    "centred or not by factor": _by_factor,
}


def formulations(case: Case, data: pd.DataFrame) -> Iterator[Formulation]:
    """The case in each formulation."""
    family = get_family(case.family)
    design = build_design(case.formula, data, family=family)
    priors = choose_priors(design, family, None)
    reference = reference_point(design, family)
    informed = level_information(design, reference)
    space = ParameterSpace.of(design.predictors.terms)
    for name, change in FORMULATIONS.items():
        information = change(informed)
        with jax.enable_x64(True), reporter(None) as report:
            spec = model_spec(design, family, priors, information)
            arrays = model_data(design, priors, reference, information)
            starts = start_chains(spec, reference.sigma2, information, CHAINS, 0)
            starts = [_in_units(start, informed, information) for start in starts]
            run = run_chains(spec, arrays, starts, draws=DRAWS, warmup=WARMUP, seed=0, report=report)
        entries = covariance_draws(space, run.draws)
        table = entry_table(posterior_mean(space, entries), entries)
        steps = float(run.statistics["n_steps"].mean())
        ess = float(table["ess_bulk"].min())
        yield Formulation(
            case=case.name,
            rows=design.n_rows,
            formulation=name,
            ess=round(ess),
            r_hat=float(table["r_hat"].max()),
            steps=steps,
            ess_per_gradient=1000 * ess / (steps * DRAWS * CHAINS),
            divergences=int(run.statistics["diverging"].sum()),
            seconds=round(run.seconds, 1),
        )


def _blind(levels: LevelInformation, information: float) -> LevelInformation:
    """As if every level had the same information, and nothing tied levels to anything else."""
    q = len(levels.Sigma)
    precision = np.linalg.inv(levels.Sigma) * information
    nothing = np.zeros_like(levels.shift_precision)
    return replace(
        levels,
        precision=np.broadcast_to(precision, (len(levels.precision), q, q)).copy(),
        score=np.zeros_like(levels.score),
        fixed=np.zeros_like(levels.fixed),
        projection=np.zeros_like(levels.projection),
        shift_precision=nothing,
        shift_residual=nothing,
        couplings=(),
    )


def _in_units(start: Start, informed: Informed, used: Informed) -> Start:
    """Where all levels have much information, coordinates are that much wider than standard normal."""
    position, inverse_mass = dict(start.position), dict(start.inverse_mass)
    for name, levels in used.items():
        if levels is informed[name] or not levels.precision.any() or levels.shift_residual.any():
            continue
        site, shape = f"v|{name}", start.position[f"v|{name}"].shape
        position[site] = np.sqrt(CENTRED) * position[site]
        inverse_mass[site] = np.full(shape, CENTRED)
    return Start(position, inverse_mass)
