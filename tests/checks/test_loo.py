"""PSIS-LOO of stage 1 against exact leave-one-out in a conjugate model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from two_stages import TwoStages, with_posterior

from mixedfx.checks.compare import compare_stages
from mixedfx.checks.loo import check_leave_one_out, leave_one_out
from mixedfx.checks.stage_one import largest_fit, stage_one_fits


def test_it_is_near_the_exact_score_of_left_out_rows(rows_fit: TwoStages) -> None:
    stages = with_posterior(rows_fit)
    posterior = stages.cov.posterior
    assert posterior is not None
    beta = np.broadcast_to(stages.cov.fixef.to_numpy(), (4, 300, 2))
    draws = posterior["posterior"].to_dataset().assign(beta=(("chain", "draw", "coef"), beta))
    tree = posterior.copy()
    tree["posterior"] = draws.assign_coords(coef=list(stages.cov.fixef.index))
    cov = replace(stages.cov, posterior=tree)
    first = largest_fit(stage_one_fits(cov, stages.coef))
    found = leave_one_out(first, stages.coef, stages.data)
    assert found is not None
    # Leaving one row out costs about 1/n of what the others tell: its log score is about that of held-out rows.
    comparison = compare_stages(cov, stages.coef, data=stages.data, holdout=stages.holdout)
    assert comparison.held_out is not None
    held_out = comparison.held_out.scores.loc["log score", "stage1"]
    assert found.log_score == pytest.approx(held_out, abs=4 * (found.error + 0.04))
    assert 0 < found.parameters < 0.3
    assert 0 <= found.high_k < 0.2
    assert found.n_rows == 1000  # a sample of 1,500
    (finding,) = check_leave_one_out(found)
    assert finding.status == "info"
    assert "PSIS-LOO" in finding.says
    assert "leave-one-out" in {f.part for f in comparison.findings}


def test_without_a_posterior_or_the_rows_there_is_none(rows_fit: TwoStages) -> None:
    first = largest_fit(stage_one_fits(rows_fit.cov, rows_fit.coef))
    assert leave_one_out(first, rows_fit.coef, rows_fit.data) is None
    stages = with_posterior(rows_fit)
    first = largest_fit(stage_one_fits(stages.cov, stages.coef))
    assert leave_one_out(first, stages.coef, None) is None
    assert leave_one_out(first, stages.coef, stages.data.iloc[:100]) is None
    assert check_leave_one_out(None) == []
