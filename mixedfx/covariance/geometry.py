"""The coordinates in which the sampler moves: close to independent standard normals, whatever the covariances are.

Given Sigma = TT' the spherical effects w_j of a level (b_j = T w_j) are, near the reference point, normal with
precision M_j = I + T'A_jT = R_jR_j' and mean M_j^-1 T'r_j (A_j, r_j: see `mixedfx.covariance.information`). The
sampler moves in

    v_j = R_j'w_j - R_j^-1 T'r_j,

which has about mean 0 and covariance I at *every* Sigma, up to a few wide directions that are stretched to fit.
A level without data has R_j = I, the non-centred form; for a level with much data v_j is b_j standardised by
its own likelihood, the centred form; all others lie between, each level by its own information. So there is no
funnel and nothing to choose (partial non-centring, Papaspiliopoulos, Roberts & Skoeld 2007; data-based
coordinates, Christensen, Roberts & Skoeld 2006).

The fixed effects, and with them the free coordinates of the thresholds, are sampled as gamma = theta + sum_k F^-1 U'Z_k
b_k, with what they can make up of the random effects (without thresholds (X'WX)^-1 X'WZ_k b_k, the projection of the
whole linear predictor on X). Data determine it apart from b, while theta and the means of the levels are tied by
"raise all levels, lower the intercept".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from mixedfx.covariance.information import LevelInformation
from mixedfx.covariance.reference import Reference

Array = jax.Array
Floats = NDArray[np.float64]


class CouplingArrays(NamedTuple):
    """Pairs of levels (P,) and the blocks, coefficient by coefficient: blocks[a][c], shape (P,) each."""

    inner: Array
    outer: Array
    blocks: tuple[tuple[Array, ...], ...]


class LevelCoordinates(NamedTuple):
    """Level information, coefficient by coefficient: arrays over levels are what vectorises."""

    precision: tuple[tuple[Array, ...], ...]
    """A[a][b], shape (J,) each."""
    score: tuple[Array, ...]
    """r[a], shape (J,) each."""
    fixed: tuple[Array, ...]
    """Shape (p, J) for each coefficient, like those of `projection`."""
    projection: tuple[Array, ...]
    linear_range: Array
    patterns: Array
    shift_precision: Array
    shift_residual: Array
    couplings: tuple[CouplingArrays, ...]

    @classmethod
    def of(cls, levels: LevelInformation) -> LevelCoordinates:
        q = range(levels.precision.shape[1])
        return cls(
            _entries(levels.precision),
            tuple(jnp.asarray(levels.score[:, a]) for a in q),
            tuple(jnp.asarray(levels.fixed[:, :, a]) for a in q),
            tuple(jnp.asarray(levels.projection[:, :, a]) for a in q),
            jnp.asarray(levels.linear_range),
            jnp.asarray(levels.patterns),
            jnp.asarray(levels.shift_precision),
            jnp.asarray(levels.shift_residual),
            tuple(
                CouplingArrays(jnp.asarray(c.inner), jnp.asarray(c.outer), _entries(c.blocks))
                for c in levels.couplings
            ),
        )


class FixedCoordinates(NamedTuple):
    """gamma = loc + root v."""

    loc: Array
    root: Array

    @classmethod
    def of(cls, reference: Reference) -> FixedCoordinates:
        """Standard normal where the data are as they look from the reference."""
        F = reference.fixed_hessian
        lower = np.linalg.cholesky(F)
        root = solve_triangular(lower, np.eye(len(F)), lower=True).T if len(F) else F
        return cls(jnp.asarray(reference.fixed), jnp.asarray(root))


def sample_scales(site: str, log_density: Callable[[Array], Array], linear_range: Array) -> Array:
    """Signed scales, shape (q,), from the log density of their sizes; sampled as asinh(scale / linear_range).

    That coordinate is a logarithm where the standard deviation is known to be above 0, and passes 0 smoothly
    otherwise.
    """
    z = jnp.asarray(numpyro.sample(site, _free(len(linear_range))))
    scale = linear_range * jnp.sinh(z)
    numpyro.factor(f"density|{site}", log_density(jnp.abs(scale)) + jnp.log(jnp.cosh(z)).sum())
    return scale


class Effects(NamedTuple):
    """Effects of one factor's levels, q arrays (J,), and how much of X they make up, shape (p,)."""

    b: tuple[Array, ...]
    absorbed: Array


def sample_levels(name: str, T: Array, at: LevelCoordinates, outer: Sequence[Effects]) -> Effects:
    """b ~ N(0, TT') for each level, sampled in the coordinates v.

    `outer` are the effects of the factors that this one couples to, in the order of ``at.couplings``.
    """
    q, J = len(at.score), len(at.score[0])
    with numpyro.plate(name, J):
        v = jnp.asarray(numpyro.sample(f"v|{name}", _free(q)))
    score = list(at.score)
    for coupling, effects in zip(at.couplings, outer, strict=True):
        for a in range(q):
            pairs = zip(coupling.blocks[a], effects.b, strict=True)
            pull = _sum(B * column[coupling.outer] for B, column in pairs)
            pull = jax.ops.segment_sum(pull, coupling.inner, J, indices_are_sorted=True)
            score[a] = score[a] - pull + effects.absorbed @ at.fixed[a]
    w, log_scale = _spherical(T, at, score, [v[:, a] for a in range(q)])
    squares = _sum(jnp.sum(column**2) for column in w)
    numpyro.factor(f"density|b|{name}", -0.5 * squares + log_scale)
    b = tuple(_sum(T[a, c] * w[c] for c in range(a + 1)) for a in range(q))
    return Effects(b, _sum(P @ column for P, column in zip(at.projection, b, strict=True)))


def sample_fixed(at: FixedCoordinates, absorbed: Array) -> Array:
    """theta = gamma - absorbed, gamma sampled in standardised coordinates, shape (p + m,); no density of its own."""
    v = numpyro.sample("v|", _free(len(at.loc)))
    return at.loc + at.root @ v - absorbed


def _free(size: int) -> dist.Distribution:
    """Coordinates without a density of their own: a factor beside them holds the prior of what they stand for."""
    return dist.ImproperUniform(dist.constraints.real_vector, (), (size,))


def _entries(blocks: np.ndarray) -> tuple[tuple[Array, ...], ...]:
    """(J, q, r) as q x r arrays of shape (J,)."""
    return tuple(tuple(jnp.asarray(column) for column in row.T) for row in np.moveaxis(blocks, 1, 0))


def _spherical(
    T: Array, at: LevelCoordinates, r: Sequence[Array], v: Sequence[Array]
) -> tuple[list[Array], Array]:
    """w = R^-T (R^-1 T'r + v) + V s for all levels, and log |dw/dv|.

    s gives the shifts along the patterns V the width they have when the fixed effects are unknown: they have
    precision G = gg' = V'MV in the levels' own coordinates and H = hh' in truth, s = (h^-T g' - I) G^-1 V'Rv.
    """
    A, q = at.precision, len(v)
    AT = [[_sum(A[a][b] * T[b, c] for b in range(c, q)) for c in range(q)] for a in range(q)]
    TAT = [[_sum(T[a, i] * AT[a][j] for a in range(i, q)) for j in range(i + 1)] for i in range(q)]
    R = _cholesky(_plus_identity(TAT))
    Tr = [_sum(T[a, i] * r[a] for a in range(i, q)) for i in range(q)]
    w = _solve_transposed(R, [h + x for h, x in zip(_solve_lower(R, Tr), v, strict=True)])
    g = _cholesky(_shift_matrix(T, at.shift_precision))
    h = _cholesky(_shift_matrix(T, at.shift_residual))
    Rv = jnp.stack([_sum(R[a][k] * v[k] for k in range(a + 1)) for a in range(q)])
    across = (Rv @ at.patterns).T.ravel()
    # G^-1 V'Rv = g^-T y and h^-T g'g^-T y = h^-T y, with y = g^-1 V'Rv.
    y = _solve_lower(g, list(across))
    s = [a - b for a, b in zip(_solve_transposed(h, y), _solve_transposed(g, y), strict=True)]
    shift = at.patterns @ jnp.stack(s).reshape(-1, q)
    w = [column + shift[:, a] for a, column in enumerate(w)]
    log_scale = _log_det(g) - _log_det(h) - _sum(jnp.sum(jnp.log(R[i][i])) for i in range(q))
    return w, log_scale


def _shift_matrix(T: Array, information: Array) -> list[list[Array]]:
    """I + (I x T') K (I x T) for information K, shape (m, q, m, q), entry by entry."""
    m, q = information.shape[:2]
    K = jnp.einsum("ba,nbmc,cd->namd", T, information, T).reshape(m * q, m * q)
    return _plus_identity([[K[i, j] for j in range(i + 1)] for i in range(m * q)])


def _sum(terms: Iterable[Array]) -> Array:
    return reduce(operator.add, terms)


# Small matrices are written out entry by entry, each entry an array over the levels (or a number): batched
# LAPACK calls on thousands of 2 x 2 matrices would cost more than the rest of the gradient.


def _once(x: Array) -> Array:
    """x, computed only once: XLA else puts the recursion that led to an entry into every operation that uses it (with
    five coefficients that took 2.5 times as long)."""
    return jax.lax.optimization_barrier(x)


def _plus_identity(M: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """I + M, lower triangles."""
    return [[*row[:-1], row[-1] + 1.0] for row in M]


def _cholesky(M: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """L with LL' = M; lower triangles, row by row."""
    L: list[list[Array]] = []
    for i, row in enumerate(M):
        L.append([])
        for j in range(i):
            L[i].append(_once((row[j] - sum(L[i][k] * L[j][k] for k in range(j))) / L[j][j]))
        L[i].append(_once(jnp.sqrt(row[i] - sum(x**2 for x in L[i]))))
    return L


def _solve_lower(L: Sequence[Sequence[Array]], right: Sequence[Array]) -> list[Array]:
    """L^-1 right."""
    x: list[Array] = []
    for i, value in enumerate(right):
        x.append(_once((value - sum(L[i][k] * x[k] for k in range(i))) / L[i][i]))
    return x


def _solve_transposed(L: Sequence[Sequence[Array]], right: Sequence[Array]) -> list[Array]:
    """L'^-1 right."""
    x = list(right)
    for i in reversed(range(len(x))):
        x[i] = _once((right[i] - sum(L[k][i] * x[k] for k in range(i + 1, len(x)))) / L[i][i])
    return x


def _log_det(L: Sequence[Sequence[Array]]) -> Array:
    return jnp.log(jnp.stack([row[-1] for row in L])).sum()
