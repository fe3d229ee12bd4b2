"""Covariances from a posterior that another library drew, with the checks that our own draws get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedfx.errors import DataError, SettingError
from mixedfx.posterior_diagnostics import entry_table, reasons_not_to_freeze
from mixedfx.varcorr import INTERCEPT, RESIDUAL, CovarianceBlock, VarCorr, free_covariances

Floats = NDArray[np.float64]

FORMS = {"covariance", "sd", "variance", "correlation", "coefficients"}
STATISTICS = ("diverging", "energy")


def varcorr_from_posterior(datatree: Any, names: Mapping[str, Any], *, force: bool = False) -> VarCorr:
    """E[Sigma] of each factor, and E[sigma^2].

    Parameters
    ----------
    datatree
        An xarray DataTree, an ArviZ InferenceData, or a mapping, with group ``posterior`` and, for the checks of
        divergences and energy, ``sample_stats`` (``diverging``, ``energy``); or the posterior alone, as a Dataset or a
        mapping. Variables have dimensions chain, draw, then their own.
    names
        Factor -> where its covariances are, as a variable's name (of covariance matrices) or a table with

        * ``"covariance"``: a variable (q, q); or
        * ``"sd"`` or ``"variance"``: a variable (q,), a scalar one, or a list of q scalar ones; and with it, unless the
          coefficients are independent, ``"correlation"``: a variable (q, q), or a scalar one or a list of q (q - 1) / 2
          scalar ones in the order (1, 2), (1, 3), (2, 3), (1, 4), ... as brms has them;
        * ``"coefficients"``: the q names as in the formula, "(Intercept)" first. They may be left out where a variable
          has them as labels, or where "(Intercept)" is the only one.

        ``"Residual"`` holds ``{"sd": "sigma"}`` or ``{"variance": ...}``, for families that have it.
    force
        Leave `freezable` True whatever the checks say; `why` keeps what they said.

    Returns
    -------
    VarCorr
        ``freezable`` is False, with reasons in ``why``, where an R-hat is above 1.01, the effective size of an entry
        below 400, there are divergences, or the energy mixes badly. What `datatree` does not have is not judged.

    Raises
    ------
    SettingError
        `names` is no such table.
    DataError
        A variable is not there, or has another shape.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> draws = {"sd_g": 1 + 0.1 * rng.standard_normal((4, 500)), "sigma": 2 + 0.1 * rng.standard_normal((4, 500))}
    >>> vc = varcorr_from_posterior(draws, {"g": {"sd": "sd_g"}, "Residual": {"sd": "sigma"}})
    >>> vc.freezable, vc["g"].round(1).iloc[0, 0].item()
    (True, 1.0)
    """
    posterior, statistics = _groups(datatree)
    if not isinstance(names, Mapping) or not set(names) - {RESIDUAL}:
        raise SettingError(
            'names must map at least one factor to its variables, as {"user": {"sd": "sd_user"}}; it is '
            f"{names!r}"
        )
    blocks: list[CovarianceBlock] = []
    entries: list[Floats] = []
    for factor, where in names.items():
        if factor == RESIDUAL:
            continue
        drawn = _factor(posterior, factor, {"covariance": where} if isinstance(where, str) else where)
        mean = drawn.matrices.mean(axis=(0, 1))
        block = CovarianceBlock(factor, drawn.coefficients, 0.5 * (mean + mean.T), drawn.free)
        blocks.append(block)
        entries += [drawn.matrices[..., i, i] for i in range(len(mean))]
        entries += [drawn.matrices[..., i, j] for i, j in free_covariances(drawn.free)]
    sigma2 = None
    if RESIDUAL in names:
        drawn = _residual(posterior, names[RESIDUAL])
        sigma2 = float(drawn.mean())
        entries.append(drawn)
    if len({x.shape for x in entries}) > 1:
        raise DataError("the variables differ in their numbers of chains and draws")
    varcorr = VarCorr(tuple(blocks), sigma2)
    reasons = reasons_not_to_freeze(entry_table(varcorr, np.stack(entries, axis=-1)), statistics)
    return VarCorr(varcorr.blocks, sigma2, freezable=force or not reasons, why="; ".join(reasons))


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One factor: draws (chains, draws, q, q), which entries are free, and the coefficients' names."""

    matrices: Floats
    free: NDArray[np.bool_]
    coefficients: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Variable:
    """Draws (chains, draws, ...), and the text labels of the first dimension of its own, where it has such."""

    name: str
    values: Floats
    labels: tuple[str, ...] | None


class _Posterior:
    """Variables by name, of whatever the caller has."""

    def __init__(self, variables: Any) -> None:
        self.variables = variables

    def get(self, name: object, factor: str) -> _Variable:
        known = [str(n) for n in getattr(self.variables, "data_vars", self.variables)]
        if not isinstance(name, str) or name not in known:
            raise DataError(
                f"factor '{factor}' is to be read from variable {name!r}; there are: {', '.join(known)}"
            )
        variable = self.variables[name]
        if not hasattr(variable, "dims"):
            values, labels = np.asarray(variable, dtype=float), None
        else:
            missing = {"chain", "draw"} - set(variable.dims)
            if missing:
                raise DataError(f"variable '{name}' has no dimension {' and '.join(sorted(missing))}")
            ordered = variable.transpose("chain", "draw", ...)
            values, labels = np.asarray(ordered.to_numpy(), dtype=float), _labels(ordered)
        if values.ndim < 2 or values.shape[1] < 4:
            raise DataError(
                f"variable '{name}' has shape {values.shape}; it needs (chains, draws, ...), 4 draws or more"
            )
        if not np.isfinite(values).all():
            raise DataError(f"variable '{name}' holds draws that are not finite")
        return _Variable(name, values, labels)


def _labels(variable: Any) -> tuple[str, ...] | None:
    if variable.ndim < 3 or variable.dims[2] not in variable.coords:
        return None
    labels = variable.coords[variable.dims[2]].to_numpy()
    return tuple(labels) if all(isinstance(label, str) for label in labels) else None


def _groups(datatree: Any) -> tuple[_Posterior, dict[str, NDArray[Any]]]:
    """The posterior's variables, and the statistics that the checks use."""

    def group(name: str) -> Any:
        try:
            return datatree[name]
        except (KeyError, TypeError):
            return getattr(datatree, name, None)

    posterior, statistics = group("posterior"), group("sample_stats")
    found: dict[str, NDArray[Any]] = {}
    if statistics is not None:
        found = {n: np.asarray(statistics[n]) for n in STATISTICS if n in statistics}
    return _Posterior(datatree if posterior is None else posterior), found


def _factor(posterior: _Posterior, factor: str, where: Any) -> _Drawn:
    forms = [
        form for form in ("covariance", "sd", "variance") if isinstance(where, Mapping) and form in where
    ]
    if len(forms) != 1 or set(where) - FORMS or ("correlation" in where and forms == ["covariance"]):
        raise SettingError(
            f"names of factor '{factor}' must have one of 'covariance', 'sd' and 'variance', beside the last two "
            f"'correlation' where there are any, and 'coefficients'; it is {where!r}"
        )
    if forms == ["covariance"]:
        variable = posterior.get(where["covariance"], factor)
        matrices, labels = variable.values, variable.labels
        if matrices.ndim == 2:
            matrices = matrices[:, :, None, None]
        if matrices.ndim != 4 or matrices.shape[2] != matrices.shape[3]:
            raise DataError(
                f"variable '{variable.name}' must hold square matrices; its shape is {matrices.shape[2:]}"
            )
        q = matrices.shape[2]
        return _Drawn(matrices, np.ones((q, q), dtype=bool), _coefficients(factor, where, q, labels))
    sd, labels = _vector(posterior, factor, where[forms[0]])
    sd = np.sqrt(sd) if forms == ["variance"] else sd
    q = sd.shape[2]
    if (sd < 0).any():
        raise DataError(f"the standard deviations of factor '{factor}' have draws below 0")
    correlation = np.broadcast_to(np.eye(q), (*sd.shape, q))
    if "correlation" in where:
        correlation = _correlations(posterior, factor, where["correlation"], q)
        if correlation.shape[:2] != sd.shape[:2]:
            raise DataError(
                f"sds and correlations of factor '{factor}' differ in their numbers of chains and draws"
            )
    free = np.ones((q, q), dtype=bool) if "correlation" in where else np.eye(q, dtype=bool)
    matrices = sd[..., :, None] * correlation * sd[..., None, :]
    return _Drawn(matrices, free, _coefficients(factor, where, q, labels))


def _residual(posterior: _Posterior, where: Any) -> Floats:
    """Draws of sigma^2, shape (chains, draws)."""
    given = {"sd": where} if isinstance(where, str) else where
    if not isinstance(given, Mapping) or len(given) != 1 or set(given) - {"sd", "variance"}:
        raise SettingError(
            f"names of '{RESIDUAL}' must be {{'sd': ...}} or {{'variance': ...}}; it is {where!r}"
        )
    ((form, name),) = given.items()
    variable = posterior.get(name, RESIDUAL)
    values = variable.values.reshape(*variable.values.shape[:2], -1)
    if values.shape[2] != 1:
        raise DataError(f"variable '{variable.name}' of '{RESIDUAL}' must be a single number a draw")
    return values[..., 0] ** 2 if form == "sd" else values[..., 0]


def _vector(posterior: _Posterior, factor: str, given: Any) -> tuple[Floats, tuple[str, ...] | None]:
    """(chains, draws, q) from one variable, or from several scalar ones; labels of the first."""
    if isinstance(given, str):
        variable = posterior.get(given, factor)
        values = variable.values[..., None] if variable.values.ndim == 2 else variable.values
        if values.ndim != 3:
            raise DataError(
                f"variable '{given}' must hold a vector a draw; its shape there is {values.shape[2:]}"
            )
        return values, variable.labels
    if not isinstance(given, Sequence) or not len(given):
        raise SettingError(
            f"names of factor '{factor}' must be a variable's name or a list of names, not {given!r}"
        )
    variables = [posterior.get(name, factor) for name in given]
    for variable in variables:
        if variable.values.ndim != 2:
            raise DataError(
                f"variable '{variable.name}' stands in a list, so it must be a single number a draw"
            )
    if len({v.values.shape for v in variables}) > 1:
        raise DataError(f"the variables of factor '{factor}' differ in their numbers of chains and draws")
    return np.stack([v.values for v in variables], axis=-1), None


def _correlations(posterior: _Posterior, factor: str, given: Any, q: int) -> Floats:
    """(chains, draws, q, q)."""
    if isinstance(given, str) and posterior.get(given, factor).values.ndim == 4:
        matrices = posterior.get(given, factor).values
        if matrices.shape[2:] != (q, q):
            raise DataError(
                f"variable '{given}' must hold {q} x {q} correlations; its shape is {matrices.shape[2:]}"
            )
        return matrices
    values, _ = _vector(posterior, factor, given)
    pairs = free_covariances(np.ones((q, q), dtype=bool))
    if values.shape[2] != len(pairs):
        raise DataError(
            f"factor '{factor}' has {q} coefficients, which takes {len(pairs)} correlations, not {values.shape[2]}"
        )
    out = np.tile(np.eye(q), (*values.shape[:2], 1, 1))
    for n, (i, j) in enumerate(sorted(pairs, key=lambda pair: (pair[1], pair[0]))):
        out[..., i, j] = out[..., j, i] = values[..., n]
    return out


def _coefficients(
    factor: str, where: Mapping[str, Any], q: int, labels: tuple[str, ...] | None
) -> tuple[str, ...]:
    given = where.get("coefficients", labels)
    if given is None and q == 1:
        given = (INTERCEPT,)
    if given is None or isinstance(given, str) or len(given) != q:
        raise SettingError(
            f"factor '{factor}' has {q} coefficients; give their names in the same order, as "
            f'{{"coefficients": ["{INTERCEPT}", "x"]}}; given: {given!r}'
        )
    return tuple(INTERCEPT if name in ("Intercept", "intercept") else str(name) for name in given)
