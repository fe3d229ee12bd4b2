"""Variances of both stages against the dense inverse of Henderson's matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from two_stages import FORMULA, TwoStages

from mixedfx.checks.stage_normal import StageNormal, stage_two_normal
from mixedfx.checks.stage_one import stage_one_fits
from mixedfx.coefficients import laplace_normal
from mixedfx.coefficients.estimate import estimate_coefficients
from mixedfx.coefficients.sampled_covariances import ACCURACY
from mixedfx.design import build_design


def dense_covariance(data: pd.DataFrame, stages: TwoStages) -> tuple[np.ndarray, dict[str, slice], dict]:
    """C^-1 over (beta, user x q, item), in the order of a design of `data`."""
    design = build_design(stages.coef.formula, data)
    predictors = design.predictors
    blocks, places, penalty = [predictors.X()], {}, [np.zeros((2, 2))]
    at = 2
    for term in predictors.terms:
        J, q = term.grouping.n_levels, term.q
        Z = np.zeros((len(data), J * q))
        for a in range(q):
            Z[np.arange(len(data)), term.grouping.codes * q + a] = predictors.z(term)[:, a]
        blocks.append(Z)
        Sigma = stages.coef.varcorr.align(predictors.terms).block(term.name).matrix
        penalty.append(np.kron(np.eye(J), np.linalg.inv(Sigma)))
        places[term.name] = slice(at, at + J * q)
        at += J * q
    D = np.hstack(blocks)
    C = D.T @ D / stages.coef.varcorr.sigma2
    first = 0
    for P in penalty:
        C[first : first + len(P), first : first + len(P)] += P
        first += len(P)
    levels = {term.name: term.grouping.levels for term in predictors.terms}
    return np.linalg.inv(C), places, levels


def expected_variances(
    data: pd.DataFrame, stages: TwoStages, factor: str, wanted: pd.Index
) -> tuple[np.ndarray, np.ndarray]:
    inverse, places, levels = dense_covariance(data, stages)
    J = len(levels[factor])
    V = inverse[places[factor], places[factor]]
    q = len(V) // J
    V = V.reshape(J, q, J, q)
    at = levels[factor].get_indexer(wanted)
    own = np.empty((len(at), q))
    centred = np.empty((len(at), q))
    for a in range(q):
        block = V[at][:, a][:, at, a]
        away = np.eye(len(at)) - 1 / len(at)
        own[:, a] = np.diag(block)
        centred[:, a] = np.diag(away @ block @ away.T)
    return own, centred


def in_a_large_model(stages: TwoStages, monkeypatch: pytest.MonkeyPatch) -> TwoStages:
    """As if the rest were too large for a dense inverse; fitted anew, because what a fit has worked out it keeps."""
    monkeypatch.setattr(laplace_normal, "DENSE_LIMIT", 10)
    return replace(stages, coef=estimate_coefficients(FORMULA, stages.data, stages.cov))


@pytest.mark.parametrize("factor", ["user", "item"])
@pytest.mark.parametrize("large", [False, True])
def test_stage_two_variances(
    rows_fit: TwoStages, factor: str, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = in_a_large_model(rows_fit, monkeypatch) if large else rows_fit
    second = stage_two_normal(stages.coef)
    wanted = second.levels(factor)[3:40]
    found = second.variances(factor, wanted)
    for values, expected in zip(
        found, expected_variances(rows_fit.data, rows_fit, factor, wanted), strict=True
    ):
        off = values / expected - 1
        # Of draws: a variance's error is twice that of its root, and the largest of 74 below four of them.
        assert np.sqrt(np.mean(off**2)) < (2 * ACCURACY if large else 1e-6)
        assert np.abs(off).max() < (8 * ACCURACY if large else 1e-6)


@pytest.mark.parametrize("factor", ["user", "item"])
def test_stage_one_variances_are_those_of_its_rows_at_the_frozen_covariances(
    rows_fit: TwoStages, factor: str
) -> None:
    first = stage_one_fits(rows_fit.cov, rows_fit.coef)[factor]
    assert first.normal is not None
    rows = rows_fit.data.iloc[rows_fit.cov.rows]
    wanted = first.normal.levels(factor)[5:30]
    found = first.normal.variances(factor, wanted)
    for values, expected in zip(found, expected_variances(rows, rows_fit, factor, wanted), strict=True):
        assert values == pytest.approx(expected, rel=1e-6)
    counts = rows[factor].value_counts()
    assert first.normal.rows(factor, wanted).tolist() == counts[wanted].tolist()
    inverse, _, _ = dense_covariance(rows, rows_fit)
    assert first.normal.fixed_variances().to_numpy() == pytest.approx(np.diag(inverse)[:2], rel=1e-6)


def test_more_rows_never_know_less(rows_fit: TwoStages) -> None:
    first = stage_one_fits(rows_fit.cov, rows_fit.coef)["user"].normal
    second = stage_two_normal(rows_fit.coef)
    assert first is not None
    levels = first.levels("user")
    for mine, all_rows in zip(first.variances("user", levels), second.variances("user", levels), strict=True):
        assert (mine >= all_rows - 1e-12).all()


def explained_of_all(stage: StageNormal) -> dict[str, np.ndarray]:
    return {factor: found.total for factor, found in stage.explained.items() if found is not None}


def test_explained_in_a_large_model_is_close_to_the_exact(
    rows_fit: TwoStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = explained_of_all(stage_two_normal(rows_fit.coef))
    sampled = explained_of_all(stage_two_normal(in_a_large_model(rows_fit, monkeypatch).coef))
    for factor, total in sampled.items():
        assert np.diag(total) == pytest.approx(np.diag(exact[factor]), rel=0.005)
