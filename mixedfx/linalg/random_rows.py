"""The random terms' rows alone, and C_bb, the Hessian of a penalised loss in u at given fixed effects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.errors import ConvergenceError
from mixedfx.linalg.curvature import Curvature
from mixedfx.linalg.dense import scaled_with_penalty
from mixedfx.linalg.elimination import inverse_and_logdet
from mixedfx.linalg.intercept_operator import InterceptOperator, row_operator
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.lapack import upper_cholesky, upper_inverse
from mixedfx.linalg.layout import RowLayout
from mixedfx.linalg.operator import Parts, RowOperator
from mixedfx.linalg.random_parts import gram
from mixedfx.linalg.threads import in_threads, thread_count
from mixedfx.predictors import Predictors

Floats = NDArray[np.float64]

NO_BLOCKS = np.empty((0, 0, 0))
"""Where `RowOperator` takes blocks for the sake of fixed effects, of which there are none here."""


@dataclass(frozen=True, eq=False)
class RandomRows:
    """Products with Z; set up once a model.

    Vectors are `Parts` without beta: e (J_e, q_e, m), rest (n, m) with n = ``layout.beta_start``.

    Attributes
    ----------
    operator
        Products with Z; kernels of this class's own do Z b and Z' rows of models with slopes faster.
    features
        Distinct columns that random coefficients multiply, shape (N, F), sorted; F is 0 where all are intercepts.
    columns_e, columns_rest
        Numbers of the features of the eliminated factor and of the remaining ones, int32; -1 is the intercept.
    """

    operator: RowOperator
    features: Floats
    columns_e: NDArray[np.int32]
    columns_rest: NDArray[np.int32]

    @classmethod
    def of(cls, predictors: Predictors, layout: RowLayout) -> RandomRows:
        """Gather what `predictors` have, in the order of `layout`."""
        random = predictors.random_alone()
        columns = {term.name: term.columns for term in random.terms}
        rest = np.concatenate([np.zeros(0, dtype=np.int32), *(columns[block.name] for block in layout.rest)])
        features = np.ascontiguousarray(random.features[layout.order])
        alone = row_operator(replace(layout, fixed_columns=layout.fixed_columns[:0]))
        return cls(alone, features, columns[layout.eliminated.name], rest)

    @property
    def layout(self) -> RowLayout:
        """Without fixed effects."""
        return self.operator.layout

    @property
    def n(self) -> int:
        """Coefficients of the remaining factors."""
        return self.layout.beta_start

    def times(self, b: Parts, base: Floats) -> Floats:
        """base + Z b, shape (N,); b one column."""
        if self._plain:
            return base + self.operator.matvec(b)[:, 0]
        from mixedfx.linalg import random_kernels as kernels

        out = np.empty(self.layout.n_rows)
        self._over_levels(
            kernels.times, *self._rows, b.e[:, :, 0], np.ascontiguousarray(b.rest[:, 0]), base, out
        )
        return out

    def transpose_times(self, rows: Floats) -> Parts:
        """Z' rows, one column; rows (N,)."""
        if self._plain:
            return self.operator.rmatvec(rows[:, None])
        from mixedfx.linalg import random_kernels as kernels

        e = np.empty((self.layout.n_levels, self.layout.q))
        rest = self._sums()
        self._over_levels(kernels.transpose_times, *self._rows, rows, e, each=[rest])
        return Parts(e[:, :, None], rest.sum(axis=0)[:, None])

    def level_blocks(self, omega: Floats) -> Floats:
        """Z_j' W Z_j of the eliminated levels, shape (J_e, q_e, q_e)."""
        from mixedfx.linalg import random_kernels as kernels

        layout = self.layout
        out = np.empty((layout.n_levels, layout.q, layout.q))
        self._over_levels(kernels.level_blocks, layout.ptr, self.features, self.columns_e, omega, out)
        return out

    def cross(self, omega: Floats, e: Floats) -> Floats:
        """Z_o' W Z_e e, shape (n, m); e (J_e, q_e, m)."""
        return self.operator.cross(Curvature.of(omega), NO_BLOCKS, e)

    def level_sums(self, omega: Floats, rest: Floats) -> Floats:
        """Z_e' W Z_o rest, shape (J_e, q_e, m); rest (n, m)."""
        return self.operator.level_sums(Curvature.of(omega), NO_BLOCKS, rest)

    def schur(self, omega: Floats, M: Floats) -> Floats:
        """Z_o' (W - W Z_e M Z_e' W) Z_o, shape (n, n); only its lower triangle is filled."""
        from mixedfx.linalg import random_kernels as kernels

        G = np.zeros((self.n, self.n))
        parts = thread_count(self.layout.n_rows)
        arguments = (*self._rows, omega, M, self._capacity, G)
        in_threads([(kernels.schur, (part, parts, *arguments)) for part in range(parts)])
        return G

    def leverages(self, omega: Floats, M: Floats, H: Floats) -> tuple[Floats, Floats]:
        """(h_r = z_r' C_bb^-1 z_r, shape (N,); B_j H B_j' with B_j = Z_ej' W Z_o, shape (J_e, q_e, q_e)).

        H (n, n) is the covariance of the remaining coefficients, M that of the eliminated levels given the rest.
        """
        from mixedfx.linalg import random_kernels as kernels

        h = np.empty(self.layout.n_rows)
        quadratic = np.empty_like(M)
        self._over_levels(kernels.leverages, *self._rows, omega, M, H, self._capacity, h, quadratic)
        return h, quadratic

    def _over_levels(self, kernel: Callable[..., None], *arguments: Any, each: Sequence[Floats] = ()) -> None:
        """Call a kernel for runs of levels, one a thread; `each` holds arrays with one item a thread."""
        in_threads(
            [
                (kernel, (low, high, *arguments, *(items[t] for items in each)))
                for t, (low, high) in enumerate(pairwise(self._bounds))
            ]
        )

    def _sums(self) -> Floats:
        """Room for each thread's sums over the rest."""
        return np.zeros((len(self._bounds) - 1, self.n))

    @cached_property
    def _plain(self) -> bool:
        """Whether all are intercepts, for which the operator has kernels."""
        return isinstance(self.operator, InterceptOperator)

    @cached_property
    def _bounds(self) -> list[int]:
        """Of the threads' runs of levels."""
        return self.layout.chunks(thread_count(self.layout.n_rows)).tolist()

    @cached_property
    def _capacity(self) -> int:
        """Most coefficients of the rest that the rows of one eliminated level can touch."""
        return min(self.n, self.layout.longest * len(self.columns_rest))

    @cached_property
    def _rows(self) -> tuple[Any, ...]:
        """The arguments that the kernels begin with."""
        layout = self.layout
        return (
            layout.ptr,
            layout.codes,
            self.features,
            self.columns_e,
            self.columns_rest,
            np.cumsum([0, *(block.q for block in layout.rest)]),
            np.array([*(block.start for block in layout.rest), self.n]),
        )


@dataclass(frozen=True, eq=False)
class RandomHessian:
    """Lambda' Z'WZ Lambda + I with the eliminated factor's blocks inverted and the rest's Schur complement factored.

    Attributes
    ----------
    omega
        diag(W), shape (N,).
    blocks
        Z_j' W Z_j of the eliminated levels (in b), shape (J_e, q_e, q_e).
    A_inverse, M
        Inverses of the eliminated blocks in u, and Lambda_e A_j^-1 Lambda_e'.
    U
        Upper Cholesky factor of the Schur complement, shape (n, n).
    logdet
        log|Lambda' Z'WZ Lambda + I|.
    """

    rows: RandomRows
    lambdas: Lambdas
    omega: Floats
    blocks: Floats
    A_inverse: Floats
    M: Floats
    U: Floats
    logdet: float

    @classmethod
    def at(cls, rows: RandomRows, lambdas: Lambdas, omega: Floats) -> RandomHessian:
        """Form and factor.

        Raises
        ------
        ConvergenceError
            The weights are not finite.
        """
        blocks = rows.level_blocks(omega)
        factor = lambdas.e
        A = factor.T @ blocks @ factor + np.eye(len(factor))
        A_inverse, logdet = inverse_and_logdet(A)
        M = factor @ A_inverse @ factor.T
        U = rows.schur(omega, M)
        if rows.n:
            S = _with_penalty(U, lambdas)
            try:
                U = upper_cholesky(S)
            except scipy.linalg.LinAlgError as error:
                raise ConvergenceError("the weights of the rows are not finite") from error
            logdet += 2.0 * float(np.log(np.diag(U)).sum())
        return cls(rows, lambdas, omega, blocks, A_inverse, M, U, logdet)

    def solve(self, r: Parts) -> Parts:
        """x with C_bb x = r, in u."""
        x_e = self.A_inverse @ r.e
        if not self.rows.n:
            return Parts(x_e, r.rest)
        crossed = self.rows.cross(self.omega, self.lambdas.e_times(x_e))
        reduced = r.rest - self.lambdas.rest_transpose_times(crossed)
        rest, _ = self._potrs(self.U, reduced, lower=0)
        sums = self.rows.level_sums(self.omega, self.lambdas.rest_times(rest))
        return Parts(x_e - self.A_inverse @ self.lambdas.e_transpose_times(sums), rest)

    @cached_property
    def _potrs(self) -> Callable[..., tuple[Floats, int]]:
        """LAPACK's own routine: scipy's wrapper of it costs more than a small system."""
        (potrs,) = scipy.linalg.get_lapack_funcs(("potrs",), (self.U,))
        return potrs

    def solve_in_b(self, rhs: Parts) -> Parts:
        """C_bb^-1 rhs, both in b."""
        return self.lambdas.times(self.solve(self.lambdas.transpose_times(rhs)))

    def gram(self, b: Parts) -> Parts:
        """Z'WZ b."""
        return gram(self.rows.operator, Curvature.of(self.omega), self.blocks, b)

    def rest_covariance(self) -> Floats:
        """Of the remaining coefficients in b, shape (n, n)."""
        if not self.rows.n:
            return self.U
        from mixedfx.linalg.dense_kernels import mirror_lower

        H = upper_inverse(self.U.copy(order="F")).T  # the same memory, read by rows
        mirror_lower(H)
        scale = _scale(self.lambdas)
        return self.lambdas.rest_sandwich(H) if scale is None else _scaled(H, scale)

    @property
    def reduced(self) -> Callable[[], Floats]:
        """Gives Z_o' (W - W Z_e M Z_e' W) Z_o, full."""

        from mixedfx.linalg.dense_kernels import mirror_lower

        def form() -> Floats:
            G = self.rows.schur(self.omega, self.M)
            mirror_lower(G)
            return G

        return form


def _with_penalty(G: Floats, lambdas: Lambdas) -> Floats:
    """Lambda_o' G Lambda_o + I from the lower triangle of G, in place; the upper triangle is meaningless."""
    scale = _scale(lambdas)
    if scale is None:
        return scaled_with_penalty(G, lambdas)
    G = _scaled(G, scale)
    G.ravel()[:: len(G) + 1] += 1.0
    return G


def _scale(lambdas: Lambdas) -> Floats | None:
    """The diagonal of Lambda_o, shape (n,), where every remaining factor is scalar: scaling by it is much cheaper."""
    if any(len(factor) > 1 for factor in lambdas.rest):
        return None
    pairs = zip(lambdas.layout.rest, lambdas.rest, strict=True)
    return np.concatenate([np.zeros(0), *(np.full(b.n_levels, factor[0, 0]) for b, factor in pairs)])


def _scaled(G: Floats, scale: Floats) -> Floats:
    G *= scale[:, None]
    G *= scale
    return G
