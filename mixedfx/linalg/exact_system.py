"""Henderson's matrix of a gaussian model, from cross products, with a Cholesky factor of what is not eliminated.

    H = Lambda' D' W D Lambda + penalty,   W = scale x the weights of the cross products,

in u coordinates, rows of the data never touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from mixedfx.linalg.component_factor import ComponentFactor
from mixedfx.linalg.cross_products import CrossProducts
from mixedfx.linalg.lambdas import Lambdas
from mixedfx.linalg.operator import Parts

Floats = NDArray[np.float64]


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
        The Schur complement on the rest.
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
        S = _schur(cross, lambdas, scale, root)
        components = cross.components
        S[components.row[: components.n] + components.place] += 1.0
        logdet = 2.0 * float(np.log(np.diagonal(L, axis1=1, axis2=2)).sum())
        return cls(cross, lambdas, scale, half, root, ComponentFactor.of(components, S), logdet)

    def solve(self, r: Parts) -> Parts:
        """H^-1 r, both in u; columns of r (J, q, m) and (n, m)."""
        x = self.rest.solve(self._reduced(r))
        sums = self.lambdas.e_transpose_times(self.cross.level_sums(self.lambdas.rest_times(x)))
        return Parts(np.swapaxes(self.half, 1, 2) @ (self.half @ (r.e - self.scale * sums)), x)

    def inner_products(self, r: Parts) -> Floats:
        """r' H^-1 r of the columns of r in u, shape (m, m)."""
        e = (self.half @ r.e).reshape(-1, r.e.shape[2])
        rest = self._reduced(r)
        product = rest.T @ self.rest.solve(rest)
        return e.T @ e + 0.5 * (product + product.T)

    def _reduced(self, r: Parts) -> Floats:
        """Right-hand side of the reduced system for H x = r."""
        crossed = self.cross.cross(self.root @ (self.half @ r.e))
        return r.rest - self.scale * self.lambdas.rest_transpose_times(crossed)

    def unexplained_in_b(self, *, with_fixed: bool) -> Floats:
        """The diagonal parts of G - G H G as `Components` keeps them, for singular covariances.

        G = D_o'(W - W Z_e M Z_e' W) D_o in b, H the inverse of the Schur complement in b, with beta or without.
        """
        cross, lambdas, rest, n = self.cross, self.lambdas, self.rest, self.cross.layout.beta_start
        components = cross.components
        eye = Lambdas(lambdas.layout, lambdas.e, tuple(np.eye(len(f)) for f in lambdas.rest))
        flat = _schur(cross, eye, self.scale, self.root)
        of_beta = components.beta_rows(flat)[:, :n]
        for group, part in zip(components.groups, rest.parts, strict=True):
            G = group.of(flat)
            G[...] = np.tril(G) + np.swapaxes(np.tril(G, -1), 1, 2)
            rows = np.zeros((cross.layout.n_rest, group.size))
            rows[group.columns] = G
            K = lambdas.rest_transpose_times(rows)[group.columns]  # Lambda' G
            G -= np.swapaxes(K, 1, 2) @ part.solve(K)
            if with_fixed and components.p:
                R = of_beta[:, group.columns] - np.einsum("ksp,ksc->pkc", rest.Y[group.columns], K)
                half = scipy.linalg.solve_triangular(rest.L, R.reshape(components.p, -1), lower=True)
                half = half.reshape(R.shape)
                G -= np.einsum("pka,pkc->kac", half, half)
        return flat


def _schur(cross: CrossProducts, lambdas: Lambdas, scale: float, root: Floats) -> Floats:
    """Lambda_o' D_o'(W - W Z_e M Z_e' W) D_o Lambda_o, its lower triangle."""
    return cross.schur(cross.transformed(scale * root, lambdas), lambdas, scale)
