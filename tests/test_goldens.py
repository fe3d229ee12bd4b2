"""The golden files are sound, and designs have the names, levels and their order that lme4's fits have."""

from __future__ import annotations

import goldens
import numpy as np
import pytest

from mixedfx.design import build_design
from mixedfx.varcorr import VarCorr

# Criteria as lme4's documentation and papers print them, typed in here and not made by generate.R.
PUBLISHED = {
    "sleepstudy_reml": (1743.628, 5e-4),
    "sleepstudy_ml": (1751.939, 5e-4),
    "penicillin": (330.8606, 5e-5),
    "pastes": (246.9907, 5e-5),
    "dyestuff": (319.6543, 5e-5),
    "dyestuff2": (161.8283, 5e-5),
    "insteval_twoway": (237783.8804, 5e-4),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_criterion_is_the_published_one(case: str) -> None:
    value, rounding = PUBLISHED[case]
    assert goldens.load(case).criterion == pytest.approx(value, abs=rounding)


@pytest.mark.parametrize("case", goldens.cases())
def test_fit_is_at_its_optimum(case: str) -> None:
    golden = goldens.load(case)
    # Curvatures in theta are 10 or more, so this leaves 1e-6 in theta at worst.
    assert golden.max_abs_gradient < 1e-5
    assert np.isfinite(golden.criterion)


@pytest.mark.parametrize("case", goldens.cases())
def test_design_is_labelled_as_in_r(case: str) -> None:
    golden = goldens.load(case)
    design = build_design(golden.formula, golden.data(), family=golden.family, weights=golden.weights)
    predictors = design.predictors
    assert predictors.fixed_names == tuple(golden.fixef.index)
    assert {term.name for term in predictors.terms} == set(golden.ranef)
    assert design.n_rows == golden.n_rows
    for term in predictors.terms:
        expected = golden.ranef[term.name]
        assert term.names == tuple(expected.columns)
        assert term.grouping.levels.tolist() == expected.index.tolist()


@pytest.mark.parametrize("case", goldens.cases())
def test_varcorr_is_read(case: str) -> None:
    golden = goldens.load(case)
    varcorr = VarCorr.from_frame(golden.varcorr)
    assert set(varcorr.factors) == set(golden.ranef)
    assert varcorr.sigma == (None if golden.sigma is None else pytest.approx(golden.sigma, rel=1e-12))
    written = varcorr.to_frame().set_index(["grp", "var1", "var2"])["vcov"].sort_index()
    given = golden.varcorr.set_index(["grp", "var1", "var2"])["vcov"].sort_index()
    np.testing.assert_allclose(written, given, rtol=1e-12)
