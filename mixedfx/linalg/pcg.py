"""Preconditioned conjugate gradients for several right-hand sides at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CGSolution:
    """What CG found.

    Attributes
    ----------
    x
        Solution, shape (n, m).
    iterations
        Products with the matrix.
    converged
        Whether every column reached the tolerance.
    relative_error
        Largest sqrt(r'Pr / reference) over the columns, an estimate of the relative error in energy norm.
    alphas, betas
        Step lengths and direction updates, shape (iterations, m); 0 for columns that had stopped. They are Lanczos'
        coefficients in another form (`mixedfx.linalg.lanczos`).
    """

    x: Floats
    iterations: int
    converged: bool
    relative_error: float
    alphas: Floats
    betas: Floats

    def take(self, columns: slice) -> CGSolution:
        """Some of the right-hand sides."""
        return replace(
            self, x=self.x[:, columns], alphas=self.alphas[:, columns], betas=self.betas[:, columns]
        )


def pcg(
    product: Callable[[Floats], Floats],
    precondition: Callable[[Floats], Floats],
    residual: Floats,
    x: Floats,
    *,
    reference: Floats,
    tol: float | Floats,
    max_iterations: int,
) -> CGSolution:
    """Continue from `x` with residual ``b - S x`` until r'Pr <= tol^2 reference in every column.

    r'Pr estimates the squared energy norm of the error (P about S^-1), which is what a Newton step needs: it does not
    depend on the units of the coefficients, unlike |r|.

    Parameters
    ----------
    product, precondition
        S v and P v for v of shape (n, m).
    residual, x
        Shape (n, m).
    reference
        Shape (m,): the squared energy norm of the solution, or an estimate of it.
    tol
        Relative tolerance, of all columns or of each, shape (m,).
    max_iterations
        Cap on the products with S.

    References
    ----------
    Hestenes & Stiefel 1952. Columns stop for themselves, and are no longer multiplied.
    """
    r = residual.copy()
    z = precondition(r)
    rho = np.einsum("im,im->m", r, z)
    direction = z.copy()
    floor = tol**2 * np.maximum(reference, np.finfo(float).tiny)
    x, active, iterations = x.copy(), np.arange(r.shape[1]), 0
    alphas, betas = [], []
    while iterations < max_iterations:
        running = rho[active] > floor[active]
        if not running.all():
            active = active[running]
            r, direction = (np.ascontiguousarray(own[:, running]) for own in (r, direction))
        if not len(active):
            break
        image = product(direction)
        curvature = np.einsum("im,im->m", direction, image)
        live = curvature > 0
        if not live.any():
            break
        alpha = np.where(live, rho[active] / np.where(live, curvature, 1.0), 0.0)
        x[:, active] += alpha * direction
        r -= alpha * image
        z = precondition(r)
        previous, rho[active] = rho[active], np.einsum("im,im->m", r, z)
        beta = np.where(live, rho[active] / previous, 0.0)
        direction = z + beta * direction
        iterations += 1
        for history, steps in ((alphas, alpha), (betas, beta)):
            history.append(np.zeros(len(rho)))
            history[-1][active] = steps
    error = float(np.sqrt(np.max(rho / np.maximum(reference, np.finfo(float).tiny), initial=0.0)))
    steps = (np.reshape(history, (iterations, len(rho))) for history in (alphas, betas))
    return CGSolution(x, iterations, bool((rho <= floor).all()), error, *steps)
