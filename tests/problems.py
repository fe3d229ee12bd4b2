"""Small random models: what hypothesis strategies and tests draw from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from oracle import DenseModel

from mixedfx.design import Design, build_design
from mixedfx.linalg.layout import RowLayout
from mixedfx.varcorr import lower_factor

Floats = NDArray[np.float64]

FORMULAS = {
    "one factor": "y ~ 1 + x + (1 + x | g)",
    "crossed": "y ~ 1 + x + (1 + x | g) + (1 | h)",
    "slopes on both": "y ~ 1 + x + (1 + x | g) + (1 + v | h)",
    "three crossed": "y ~ 1 + x + (1 | g) + (0 + x | h) + (1 | k)",
    "nested": "y ~ 1 + x + (1 | k/m)",
    "nested and crossed": "y ~ 1 + (1 | k/m) + (1 + x | h)",
    "no fixed effects": "y ~ 0 + (1 | g) + (1 | h)",
    "offset": "y ~ 1 + offset(v) + (1 | g) + (1 | h)",
}


@dataclass(frozen=True, eq=False)
class Model:
    """A design with covariances for its terms."""

    formula: str
    data: pd.DataFrame
    design: Design
    sigmas: dict[str, Floats]
    sigma2: float

    def frame(self, *, residual: bool = True) -> pd.DataFrame:
        """The covariances as lme4's frame."""
        rows: list[tuple[object, ...]] = []
        for term in self.design.predictors.terms:
            S = self.sigmas[term.name]
            for i in range(term.q):
                rows += [
                    (term.name, term.names[i], term.names[j] if j != i else None, S[i, j])
                    for j in range(i + 1)
                ]
        if residual:
            rows.append(("Residual", None, None, self.sigma2))
        return pd.DataFrame(rows, columns=["grp", "var1", "var2", "vcov"])


def frame(rng: np.random.Generator, n: int = 120) -> pd.DataFrame:
    """Crossed and nested factors with repeated pairs, unequal levels and two covariates."""
    g = np.r_[np.arange(11), rng.integers(0, 11, n - 11) ** 2 // 11]
    h = rng.permutation(np.r_[np.arange(7), rng.integers(0, 7, n - 7)])
    k = rng.permutation(np.r_[np.arange(3), rng.integers(0, 3, n - 3)])
    m = rng.integers(0, 4, n)
    x, v = rng.standard_normal((2, n))
    y = (
        1
        + 0.5 * x
        + 0.7 * rng.standard_normal(11)[g]
        + 0.5 * rng.standard_normal(7)[h]
        + rng.standard_normal(n)
    )
    data = pd.DataFrame({"y": y, "x": x, "v": v, "g": g, "h": h, "k": k, "m": m})
    p = 1 / (1 + np.exp(-y))
    data["b"] = (rng.random(n) < p).astype(int)
    data["count"] = rng.poisson(np.exp(0.5 * y))
    data["trials"] = rng.integers(1, 9, n)
    data["share"] = rng.binomial(data["trials"], p) / data["trials"]
    latent = y + rng.logistic(size=n)
    data["o"] = pd.Categorical(np.digitize(latent, [-0.5, 1.0, 2.5]), ordered=True)
    return data


RESPONSES = {"gaussian": "y", "bernoulli": "b", "binomial": "share", "poisson": "count", "cumulative": "o"}


def model(kind: str, seed: int, *, singular: bool = False, family: str = "gaussian") -> Model:
    """One of `FORMULAS` on random data, with random covariances; `singular` makes the first rank-deficient."""
    rng = np.random.default_rng(seed)
    data = frame(rng)
    formula = FORMULAS[kind].replace("y ~", f"{RESPONSES[family]} ~")
    weights = "trials" if family == "binomial" else None
    design = build_design(formula, data, family=family, weights=weights)
    sigmas = {}
    for position, term in enumerate(design.predictors.terms):
        root = rng.standard_normal((term.q, term.q))
        if singular and position == 0:
            root[:, 0] = 0.0
        sigmas[term.name] = root @ root.T
    return Model(formula, data, design, sigmas, float(rng.uniform(0.5, 2.0)))


def dense_order(layout: RowLayout, dense: DenseModel) -> np.ndarray:
    """Positions in the dense coefficient vector (factors, then beta) of (eliminated, rest)."""
    names = [block.name for block in layout.blocks]
    n = dense.Z.shape[1]
    return np.concatenate(
        [*(np.arange(n)[dense.blocks[name]] for name in names), n + np.arange(dense.p)]
    ).astype(int)


def in_lower_coordinates(m: Model) -> DenseModel:
    """The dense model with the package's triangular Lambda, so that u means the same."""
    dense = DenseModel.of(m.design.predictors, m.sigmas)
    Lambda = dense.Lambda.copy()
    for term in m.design.predictors.terms:
        block = dense.blocks[term.name]
        Lambda[block, block] = np.kron(np.eye(term.grouping.n_levels), lower_factor(m.sigmas[term.name]))
    return DenseModel(dense.X, dense.Z, Lambda, dense.offset, dense.blocks)
