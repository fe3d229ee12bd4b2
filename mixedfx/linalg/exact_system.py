"""Henderson's matrix of a gaussian model, from cross products, with a Cholesky factor of what is not eliminated.

    H = Lambda' D' W D Lambda + penalty,   W = scale x the weights of the cross products,

in u coordinates, rows of the data never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.linalg.component_factor import ComponentFactor
from mixedfx.linalg.components import Group
from mixedfx.linalg.cross_products import CrossProducts
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.layout import Block
from mixedfx.linalg.operator import Parts

Floats = NDArray[np.float64]

COLUMNS = 256
"""Columns of a large part that are solved for at once."""


@dataclass(frozen=True, eq=False)
class ExactSystem:
    """H at one Lambda and one scale, factored.

    Attributes
    ----------
    cross, lambdas, scale
        What H is made of.
    half
        L_j^-1 of A_j = L_j L_j', the eliminated levels' blocks of H, shape (J, q, q).
    root
        Lambda_e L_j^-T, shape (J, q, q): M_j = root_j root_j' is the covariance of level j given the rest.
    rest
        The Schur complement on the rest: its factors are in ``cross.room``, which the next system takes.
    logdet_e
        sum_j log|A_j|.
    """

    cross: CrossProducts
    lambdas: Lambdas
    scale: float
    half: Floats
    root: Floats
    rest: ComponentFactor
    logdet_e: float

    @classmethod
    def at(cls, cross: CrossProducts, lambdas: Lambdas, scale: float) -> ExactSystem:
        """Form and factor; raises what `ComponentFactor.of` does."""
        q = len(lambdas.e)
        A = scale * (lambdas.e.T @ cross.e @ lambdas.e) + np.eye(q)
        L = np.sqrt(A) if q == 1 else np.linalg.cholesky(A)
        half = 1.0 / L if q == 1 else np.linalg.inv(L)
        root = lambdas.e @ np.swapaxes(half, 1, 2)
        logdet = 2.0 * float(np.log(np.diagonal(L, axis1=1, axis2=2)).sum())
        system = cls(cross, lambdas, scale, half, root, _factor(cross, lambdas, scale, root), logdet)
        cross.room.put(system, system.rest)
        return system

    def _factored(self) -> ComponentFactor:
        """`rest`, formed again where the memory has been put to another use."""
        room = self.cross.room
        rest = room.of(self)
        if rest is None:
            rest = _factor(self.cross, self.lambdas, self.scale, self.root)
            room.put(self, rest)
        return rest

    def random_inverse(self) -> Floats:
        """D^-1 as `Components` keeps it, in the place of the factor, until that or another system is used.

        Rows of beta mean nothing: beta is held fixed.
        """
        self._factored().invert_random()
        return self.cross.room.clear()

    def solve(self, r: Parts) -> Parts:
        """H^-1 r, both in u; columns of r (J, q, m) and (n, m)."""
        x = self._factored().solve(self._reduced(r))
        sums = self.lambdas.e_transpose_times(self.cross.level_sums(self.lambdas.rest_times(x)))
        return Parts(np.swapaxes(self.half, 1, 2) @ (self.half @ (r.e - self.scale * sums)), x)

    def draw(self, fixed: Floats, rng: np.random.Generator) -> Parts:
        """A draw of N(0, H^-1) in u given its part of beta, `fixed` (p,); one column.

        The rest is drawn first, from its marginal distribution, then the eliminated levels given the rest.
        """
        x = self._factored().draw(fixed, rng)[:, None]
        sums = self.lambdas.e_transpose_times(self.cross.level_sums(self.lambdas.rest_times(x)))
        off = rng.standard_normal(sums.shape) - self.scale * (self.half @ sums)
        return Parts(np.swapaxes(self.half, 1, 2) @ off, x)

    def inner_products(self, r: Parts) -> Floats:
        """r' H^-1 r of the columns of r in u, shape (m, m)."""
        e = (self.half @ r.e).reshape(-1, r.e.shape[2])
        rest = self._reduced(r)
        product = rest.T @ self._factored().solve(rest)
        return e.T @ e + 0.5 * (product + product.T)

    def _reduced(self, r: Parts) -> Floats:
        """Right-hand side of the reduced system for H x = r."""
        crossed = self.cross.cross(self.root @ (self.half @ r.e))
        return r.rest - self.scale * self.lambdas.rest_transpose_times(crossed)

    def unexplained_in_b(self, singular: Sequence[Block], *, with_fixed: bool) -> dict[str, Floats]:
        """Diagonal blocks of G - G H G summed over the levels of `singular` factors, factor -> (q, q).

        G = D_o'(W - W Z_e M Z_e' W) D_o in b, H the inverse of the Schur complement in b, with beta or without. G takes
        memory of its own, because the factor of H is wanted at the same time.
        """
        from mixedfx.linalg.dense_kernels import mirror_lower

        cross, lambdas, rest = self.cross, self.lambdas, self._factored()
        components = cross.components
        flat = np.zeros(components.entries)
        eye = Lambdas(lambdas.layout, lambdas.e, tuple(np.eye(len(f)) for f in lambdas.rest))
        _add_schur(flat, cross, eye, self.scale, self.root)
        of_beta = components.beta_rows(flat)[:, : components.n]
        out = {block.name: np.zeros((block.q, block.q)) for block in singular}
        for group, part in zip(components.groups, rest.parts, strict=True):
            G = group.of(flat)
            for own in G:
                mirror_lower(own)
            for places in _places_at_once(group, singular):
                columns = group.columns[:, places]
                rows = np.zeros((components.n + components.p, len(places)))
                rows[group.columns] = G[:, :, places]
                K = lambdas.rest_transpose_times(rows)[group.columns]  # Lambda' G
                unexplained = G[:, places[:, None], places] - np.swapaxes(K, 1, 2) @ part.solve(K)
                if with_fixed and components.p:
                    R = of_beta[:, columns] - np.einsum("ksp,ksc->pkc", rest.Y[group.columns], K)
                    half = scipy.linalg.solve_triangular(rest.L, R.reshape(components.p, -1), lower=True)
                    half = half.reshape(R.shape)
                    unexplained -= np.einsum("pka,pkc->kac", half, half)
                for block in singular:
                    out[block.name] += _sum_of_blocks(unexplained, columns, block)
        return out


def _factor(cross: CrossProducts, lambdas: Lambdas, scale: float, root: Floats) -> ComponentFactor:
    """The Schur complement on the rest, factored in the room for one."""
    components, S = cross.components, cross.room.clear()
    S.fill(0.0)
    _add_schur(S, cross, lambdas, scale, root)
    S[components.row[: components.n] + components.place] += 1.0
    return ComponentFactor.of(components, S)


def _add_schur(S: Floats, cross: CrossProducts, lambdas: Lambdas, scale: float, root: Floats) -> None:
    """Add the lower triangle of Lambda_o' D_o'(W - W Z_e M Z_e' W) D_o Lambda_o."""
    cross.add_schur(S, cross.transformed(scale * root, lambdas), lambdas, scale)


def _places_at_once(group: Group, blocks: Sequence[Block]) -> Iterator[NDArray[np.int64]]:
    """Places of the blocks' columns within a large part, whole levels and not many at a time; all of small parts."""
    if len(group.columns) > 1:
        yield np.arange(group.size)
        return
    for block in blocks:
        first, last = np.searchsorted(group.columns[0], [block.start, block.stop])
        several = max(COLUMNS // block.q, 1) * block.q
        for start in range(first, last, several):
            yield np.arange(start, min(start + several, last))


def _sum_of_blocks(matrices: Floats, columns: NDArray[np.int64], block: Block) -> Floats:
    """Sum of a factor's diagonal blocks, shape (q, q), in matrices (parts, c, c) of the `columns` (parts, c) given."""
    inside = (columns >= block.start) & (columns < block.stop)
    part, first = np.nonzero(inside & ((columns - block.start) % block.q == 0))
    own = np.arange(block.q)
    rows, across = first[:, None, None] + own[:, None], first[:, None, None] + own
    return matrices[part[:, None, None], rows, across].sum(axis=0)
