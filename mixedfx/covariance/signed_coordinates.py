"""Covariances and sigma as free numbers in which their posterior is nearly normal, also where variances may be 0.

Of each Sigma = T T', T = diag(scale) L with the factor L of the correlations:

* z = asinh(scale / range) for each coefficient: a logarithm where the standard deviation is known to be above 0, linear
  where it may be 0. Scales are signed, so that 0 is no boundary;
* y = atanh of the canonical partial correlations, row by row of L: L_ij = tanh(y_ij) sqrt(1 - sum_l<j L_il^2)
  (Lewandowski, Kurowicka & Joe 2009), under whose LKJ prior the density of y_ij is sech(y_ij)^(2 power);
* w = y g in place of y, g^2 = 1 + J / 4 times both coefficients' reliabilities: about the precision of y that J levels
  and the prior give, against the prior's alone. Where a scale nears 0 the data say nothing of its correlations,
  and y spreads out; w keeps its width.

Turning the sign of one scale and of the w that its coefficient has part in leaves Sigma as it is. Of families with a
residual variance log sigma comes last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedfx.covariance.correlation_blocks import correlation_blocks
from mixedfx.covariance.information import LINEAR_RANGE
from mixedfx.covariance.parameters import Covariances, ParameterSpace
from mixedfx.covariance.priors import Priors

Floats = NDArray[np.float64]

WIDTH_OF_PRIOR = 4.0
"""Precision of y under its prior, for LKJ(2) and two coefficients; others differ too little to matter."""


@dataclass(frozen=True)
class Pair:
    """A partial correlation: of coefficients i and j, `column` the place of j in its block of `size` coefficients."""

    term: int
    i: int
    j: int
    column: int
    size: int


@dataclass(frozen=True, eq=False)
class SignedCoordinates:
    """Maps between free vectors zeta, shape (d,), and `Covariances`.

    Attributes
    ----------
    space
        The covariance parameters.
    ranges
        Factor -> standard deviations (q,) up to about which its scales are on a linear scale.
    has_sigma
        Whether log sigma is one of the numbers; sigma is 1 otherwise.
    """

    space: ParameterSpace
    ranges: Mapping[str, Floats]
    has_sigma: bool

    @cached_property
    def scales(self) -> tuple[tuple[int, int], ...]:
        """(term, coefficient) of each z."""
        return tuple((k, i) for k, term in enumerate(self.space.terms) for i in range(term.q))

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Of each w."""
        return tuple(
            Pair(k, i, j, column, len(block))
            for k, term in enumerate(self.space.terms)
            for block in correlation_blocks(term)
            for row, i in enumerate(block)
            for column, j in enumerate(block[:row])
        )

    @property
    def size(self) -> int:
        return len(self.scales) + len(self.pairs) + self.has_sigma

    def flips(self, n: int) -> Floats:
        """Signs (scales, n): row s turns scale s and what goes with it; coordinates beyond these, up to n, stay."""
        signs = np.ones((len(self.scales), n))
        for s, (k, i) in enumerate(self.scales):
            signs[s, s] = -1.0
            for n, pair in enumerate(self.pairs, start=len(self.scales)):
                if pair.term == k and i in (pair.i, pair.j):
                    signs[s, n] = -1.0
        return signs

    def zeta(self, point: Covariances) -> Floats:
        """Of covariances that are positive definite; scales come out above 0."""
        z, y = [], []
        sds = [np.sqrt(np.diag(S)) for S in point.matrices]
        for k, i in self.scales:
            z.append(np.arcsinh(sds[k][i] / self._range(k, i)))
        for pair in self.pairs:
            block = next(b for b in correlation_blocks(self.space.terms[pair.term]) if pair.i in b)
            at = np.ix_(block, block)
            sd = sds[pair.term][list(block)]
            L = np.linalg.cholesky(point.matrices[pair.term][at] / np.outer(sd, sd))
            row = L[block.index(pair.i)]
            rest = 1.0 - float(row[: pair.column] @ row[: pair.column])
            y.append(np.arctanh(row[pair.column] / np.sqrt(rest)))
        natural = np.array([*z, *y, *([0.5 * np.log(point.sigma2)] if self.has_sigma else [])])
        natural[self._of_pairs] *= self._widths(natural)[0]
        return natural

    def factors(self, zeta: Floats) -> tuple[Floats, ...]:
        """T of each term."""
        return tuple(s[:, None] * L for s, L in zip(self._scales(zeta), self._unit(zeta), strict=True))

    def point(self, zeta: Floats) -> Covariances:
        """The covariances."""
        sigma2 = float(np.exp(2 * zeta[self.size - 1])) if self.has_sigma else 1.0
        return Covariances(tuple(T @ T.T for T in self.factors(zeta)), sigma2)

    def jacobian(self, zeta: Floats) -> Floats:
        """d phi / d zeta, shape (n, d), phi as `ParameterSpace.vector`; its last row is 0 where there is no sigma."""
        units, scales, y = self._unit(zeta), self._scales(zeta), self._partial(zeta)
        columns = []
        for n, (k, i) in enumerate(self.scales):
            change = np.zeros_like(units[k])
            change[i] = self._range(k, i) * np.cosh(zeta[n]) * units[k][i]
            columns.append(self._change(k, change, scales, units))
        for n, pair in enumerate(self.pairs, start=len(self.scales)):
            c, L = np.tanh(y[n - len(self.scales)]), units[pair.term]
            block = next(b for b in correlation_blocks(self.space.terms[pair.term]) if pair.i in b)
            change = np.zeros_like(L)
            later = list(block[pair.column + 1 :])
            change[pair.i, later] = -c * L[pair.i, later]
            before = L[pair.i, list(block[: pair.column])]
            change[pair.i, pair.j] = (1 - c**2) * np.sqrt(1.0 - float(before @ before))
            change[pair.i] *= scales[pair.term][pair.i]
            columns.append(self._change(pair.term, change, scales, units))
        if self.has_sigma:
            columns.append(np.eye(self.space.size)[-1] * 2 * np.exp(2 * zeta[self.size - 1]))
        return np.array(columns).T @ self._natural_jacobian(zeta)

    def log_prior(self, zeta: Floats, priors: Priors) -> tuple[float, Floats]:
        """Log density of zeta up to a constant, and its gradient, shape (d,)."""
        value, slope = 0.0, np.zeros(self.size)
        names = [term.name for term in self.space.terms]
        for n, (k, i) in enumerate(self.scales):
            wide = self._range(k, i)
            scale, turn = wide * np.sinh(zeta[n]), np.tanh(zeta[n])
            density, derivative = priors.sd[names[k]][i].log_density(abs(scale))
            value += density + np.log(np.cosh(zeta[n]))
            slope[n] = derivative * np.sign(scale) * wide * np.cosh(zeta[n]) + turn
        of_y, y = np.zeros(self.size), self._partial(zeta)
        for n, pair in enumerate(self.pairs):
            power = priors.correlation[names[pair.term]] + 0.5 * (pair.size - 2 - pair.column)
            value -= 2 * power * np.log(np.cosh(y[n]))
            of_y[len(self.scales) + n] = -2 * power * np.tanh(y[n])
        g, log_slopes = self._widths(zeta)
        value -= np.log(g).sum()
        slope += of_y @ self._natural_jacobian(zeta) - log_slopes.sum(axis=0)
        if self.has_sigma and priors.sigma is not None:
            sigma = np.exp(zeta[self.size - 1])
            density, derivative = priors.sigma.log_density(sigma)
            value += density + zeta[self.size - 1]
            slope[-1] = derivative * sigma + 1.0
        return float(value), slope

    @property
    def _of_pairs(self) -> slice:
        return slice(len(self.scales), len(self.scales) + len(self.pairs))

    def _partial(self, zeta: Floats) -> Floats:
        """y of each pair."""
        return zeta[self._of_pairs] / self._widths(zeta)[0]

    def _natural_jacobian(self, zeta: Floats) -> Floats:
        """d (z, y, log sigma) / d zeta, shape (d, d)."""
        g, log_slopes = self._widths(zeta)
        J = np.eye(self.size)
        J[self._of_pairs] = -self._partial(zeta)[:, None] * log_slopes
        J[self._of_pairs, self._of_pairs] += np.diag(1.0 / g)
        return J

    def _widths(self, zeta: Floats) -> tuple[Floats, Floats]:
        """(g of each pair, d log g / d zeta, shape (pairs, d))."""
        place = {at: n for n, at in enumerate(self.scales)}
        x = LINEAR_RANGE * np.sinh(zeta[: len(self.scales)])
        reliability = x**2 / (1 + x**2)
        change = 2 * x * LINEAR_RANGE * np.cosh(zeta[: len(self.scales)]) / (1 + x**2) ** 2
        g, log_slopes = np.ones(len(self.pairs)), np.zeros((len(self.pairs), self.size))
        for n, pair in enumerate(self.pairs):
            i, j = place[pair.term, pair.i], place[pair.term, pair.j]
            levels = self.space.terms[pair.term].grouping.n_levels / WIDTH_OF_PRIOR
            g[n] = np.sqrt(1 + levels * reliability[i] * reliability[j])
            for own, other in ((i, j), (j, i)):
                log_slopes[n, own] = 0.5 * levels * change[own] * reliability[other] / g[n] ** 2
        return g, log_slopes

    def _range(self, term: int, i: int) -> float:
        return float(self.ranges[self.space.terms[term].name][i])

    def _scales(self, zeta: Floats) -> tuple[Floats, ...]:
        """Signed standard deviations of each term."""
        out = tuple(np.empty(term.q) for term in self.space.terms)
        for n, (k, i) in enumerate(self.scales):
            out[k][i] = self._range(k, i) * np.sinh(zeta[n])
        return out

    def _unit(self, zeta: Floats) -> tuple[Floats, ...]:
        """L of each term: the lower factor of its correlations."""
        out = tuple(np.eye(term.q) for term in self.space.terms)
        for pair, y in zip(self.pairs, self._partial(zeta), strict=True):
            # Pairs of a row come one after the other: the diagonal holds the root of what is left of its length 1.
            L, left = out[pair.term], out[pair.term][pair.i, pair.i]
            L[pair.i, pair.j] = np.tanh(y) * left
            L[pair.i, pair.i] = left / np.cosh(y)
        return out

    def _change(
        self, term: int, change: Floats, scales: tuple[Floats, ...], units: tuple[Floats, ...]
    ) -> Floats:
        """d phi for a change of one T."""
        half = change @ (scales[term][:, None] * units[term]).T
        matrices = [np.zeros_like(L) for L in units]
        matrices[term] = half + half.T
        return self.space.vector(Covariances(tuple(matrices), 0.0))
