"""A dense, plain reference for the mathematics: slow, short and written without the package's linear algebra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedfx.families import Family
from mixedfx.predictors import Predictors

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DenseModel:
    """X, Z and Lambda in full; columns of Z factor by factor, level by level."""

    X: Floats
    Z: Floats
    Lambda: Floats
    offset: Floats
    blocks: dict[str, slice]

    @classmethod
    def of(cls, predictors: Predictors, sigmas: dict[str, Floats]) -> DenseModel:
        n = predictors.n_rows
        parts, factors, blocks, start = [], [], {}, 0
        for term in predictors.terms:
            z, codes, J = predictors.z(term), term.grouping.codes, term.grouping.n_levels
            Z = np.zeros((n, J * term.q))
            for i in range(term.q):
                Z[np.arange(n), codes * term.q + i] = z[:, i]
            values, vectors = np.linalg.eigh(sigmas[term.name])
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            parts.append(Z)
            factors.append(np.kron(np.eye(J), root))
            blocks[term.name] = slice(start, start + J * term.q)
            start += J * term.q
        Lambda = np.zeros((start, start))
        for block, factor in zip(blocks.values(), factors, strict=True):
            Lambda[block, block] = factor
        return cls(predictors.X(), np.hstack(parts), Lambda, predictors.offset, blocks)

    @property
    def p(self) -> int:
        return self.X.shape[1]

    def marginal_covariance(self, sigma2: float, weights: Floats) -> Floats:
        """V = Z Sigma Z' + sigma^2 W0^-1."""
        ZL = self.Z @ self.Lambda
        return ZL @ ZL.T + np.diag(sigma2 / weights)

    def loglik(self, y: Floats, sigma2: float, weights: Floats, *, reml: bool) -> float:
        V = self.marginal_covariance(sigma2, weights)
        Vi = np.linalg.inv(V)
        information = self.X.T @ Vi @ self.X
        beta = np.linalg.solve(information, self.X.T @ Vi @ (y - self.offset))
        r = y - self.offset - self.X @ beta
        n = len(y) - (self.p if reml else 0)
        value = np.linalg.slogdet(V)[1] + r @ Vi @ r + n * np.log(2 * np.pi)
        return -0.5 * float(value + (np.linalg.slogdet(information)[1] if reml else 0.0))

    def projector(self, sigma2: float, weights: Floats) -> Floats:
        """P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1."""
        Vi = np.linalg.inv(self.marginal_covariance(sigma2, weights))
        A = Vi @ self.X
        return Vi - A @ np.linalg.solve(self.X.T @ A, A.T)

    def joint_mode(
        self, family: Family, y: Floats, weights: Floats, auxiliary: object = None
    ) -> tuple[Floats, dict[str, Floats], float]:
        """(beta, b by factor as flat vectors, F): minimum of sum w l + |u|^2 / 2, by damped Newton."""
        D = np.hstack([self.X, self.Z @ self.Lambda])
        penalty = np.r_[np.zeros(self.p), np.ones(D.shape[1] - self.p)]
        x = np.zeros(D.shape[1])

        def objective(x: Floats) -> float:
            loss = family.loss(y, self.offset + D @ x, auxiliary)
            return float(weights @ loss + 0.5 * penalty @ x**2)

        for _ in range(200):
            d = family.derivatives(y, self.offset + D @ x, auxiliary)
            gradient = D.T @ (weights * d.d1) + penalty * x
            if np.abs(gradient).max() < 1e-11 * max(1.0, len(y)):
                break
            hessian = (D.T * (weights * d.d2)) @ D + np.diag(penalty)
            step = np.linalg.solve(hessian, -gradient)
            t = 1.0
            while objective(x + t * step) > objective(x) + 1e-12 * abs(objective(x)) and t > 1e-6:
                t /= 2
            x = x + t * step
        b = self.Lambda @ x[self.p :]
        return x[: self.p], {name: b[block] for name, block in self.blocks.items()}, objective(x)

    def conditional_mode(
        self, family: Family, y: Floats, weights: Floats, beta: Floats, auxiliary: object = None
    ) -> tuple[Floats, Floats]:
        """(u, eta): minimum of sum w l + |u|^2 / 2 over u at a given beta, by damped Newton."""
        ZL = self.Z @ self.Lambda
        fixed = self.offset + self.X @ beta
        u = np.zeros(ZL.shape[1])

        def objective(u: Floats) -> float:
            return float(weights @ family.loss(y, fixed + ZL @ u, auxiliary) + 0.5 * u @ u)

        for _ in range(200):
            d = family.derivatives(y, fixed + ZL @ u, auxiliary)
            gradient = ZL.T @ (weights * d.d1) + u
            if np.abs(gradient).max() < 1e-11:
                break
            step = np.linalg.solve((ZL.T * (weights * d.d2)) @ ZL + np.eye(len(u)), -gradient)
            t = 1.0
            while objective(u + t * step) > objective(u) + 1e-12 * abs(objective(u)) and t > 1e-6:
                t /= 2
            u = u + t * step
        return u, fixed + ZL @ u

    def laplace(
        self, family: Family, y: Floats, weights: Floats, beta: Floats, auxiliary: object = None
    ) -> float:
        """Laplace's approximation of the log-likelihood at (beta, auxiliary), as glmer and clmm define it."""
        u, eta = self.conditional_mode(family, y, weights, beta, auxiliary)
        ZL = self.Z @ self.Lambda
        omega = weights * family.derivatives(y, eta, auxiliary).d2
        logdet = np.linalg.slogdet((ZL.T * omega) @ ZL + np.eye(len(u)))[1]
        loss = float(weights @ family.loss(y, eta, auxiliary))
        return family.log_constant(y, weights) - loss - 0.5 * float(u @ u + logdet)

    def henderson(self, omega: Floats) -> Floats:
        """H in u, beta last: Lambda' D'WD Lambda + penalty."""
        D = np.hstack([self.Z @ self.Lambda, self.X])
        penalty = np.r_[np.ones(D.shape[1] - self.p), np.zeros(self.p)]
        return (D.T * omega) @ D + np.diag(penalty)

    def posterior_covariance(self, omega: Floats, *, conditional: bool) -> Floats:
        """Of (b, beta): C^-1; or of b given beta, C_bb^-1."""
        H = self.henderson(omega)
        n = len(H) - self.p
        T = np.eye(len(H))
        T[:n, :n] = self.Lambda
        if conditional:
            return T[:n, :n] @ np.linalg.inv(H[:n, :n]) @ T[:n, :n].T
        return T @ np.linalg.inv(H) @ T.T
