"""DesignSpec: new data are encoded as those of the fit, also after a journey through JSON to another process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mixedfx.design import Design, build_design
from mixedfx.errors import DataError
from mixedfx.formula.spec import DesignSpec
from mixedfx.predictors import Predictors

FORMULA = (
    "log(y) ~ scale(x) * kind + stud + flag + poly(z, 2) + factor(year) + `x y`:C + offset(center(x))"
    " + (1 + x | user) + (0 + flag + stud || item) + (1 | year/kind)"
)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = 300
    return pd.DataFrame(
        {
            "y": rng.exponential(size=n),
            "x": rng.standard_normal(n),
            "z": rng.standard_normal(n),
            "x y": rng.standard_normal(n),
            "C": rng.standard_normal(n),
            "kind": pd.Categorical(rng.choice(list("abc"), n), categories=list("cbadx")),
            "stud": pd.Categorical(rng.choice([2, 4, 6], n), ordered=True),
            "flag": rng.random(n) < 0.5,
            "year": rng.choice([2001, 2002], n),
            "user": rng.integers(0, 20, n) + 1000,
            "item": [f"i{k}" for k in rng.integers(0, 15, n)],
        },
        index=pd.Index(rng.permutation(n) * 3, name="row"),
        # Few digits, because pandas 2 reads longer decimals from CSV to a neighbour of the nearest double.
    ).round(4)


@pytest.fixture(scope="module")
def design(data: pd.DataFrame) -> Design:
    return build_design(FORMULA, data)


def assert_same(a: Predictors, b: Predictors, rows: slice = slice(None)) -> None:
    assert a.fixed_names == b.fixed_names
    assert np.array_equal(a.fixed_columns, b.fixed_columns)
    assert np.array_equal(a.features[rows], b.features)
    assert np.array_equal(a.offset[rows], b.offset)
    assert [(t.name, t.names) for t in a.terms] == [(t.name, t.names) for t in b.terms]
    for s, t in zip(a.terms, b.terms, strict=True):
        assert np.array_equal(s.grouping.codes[rows], t.grouping.codes)
        assert np.array_equal(s.columns, t.columns)
        assert np.array_equal(s.free, t.free)
        pd.testing.assert_index_equal(s.grouping.levels, t.grouping.levels, exact=True)


def test_what_it_says_about_itself(design: Design) -> None:
    spec = design.spec
    assert spec.formula == FORMULA
    assert (spec.family, spec.response_name, spec.response_levels) == ("gaussian", "log(y)", None)
    assert spec.columns == ("x", "kind", "stud", "flag", "z", "year", "x y", "C", "user", "item")
    assert spec.factors == ("user", "item", "kind:year", "year")
    assert spec.fixed_names == design.predictors.fixed_names


def test_rows_of_the_fit(design: Design, data: pd.DataFrame) -> None:
    new = design.spec.encode(data.iloc[10:40])
    assert_same(design.predictors, new, slice(10, 40))
    assert new.index.equals(data.index[10:40])
    one = design.spec.encode(data.iloc[7:8])
    assert_same(design.predictors, one, slice(7, 8))


def test_the_kind_of_data_does_not_matter(design: Design, data: pd.DataFrame, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(data), tmp_path / "d.parquet")
    data.to_csv(tmp_path / "d.csv")
    polars = pl.from_pandas(data.astype({"kind": "str"})).with_columns(pl.col("kind").cast(pl.Categorical()))
    sources = [pa.Table.from_pandas(data), polars, tmp_path / "d.parquet", tmp_path / "d.csv"]
    for source in sources:
        assert_same(design.predictors, design.spec.encode(source))


def test_json_round_trip_is_exact(design: Design, data: pd.DataFrame) -> None:
    saved = json.dumps(design.spec.to_dict(), allow_nan=False)
    again = DesignSpec.from_dict(json.loads(saved))
    assert json.dumps(again.to_dict()) == saved
    assert_same(design.predictors, again.encode(data))
    assert np.array_equal(again.encode_response(data)[0], design.y)


def test_another_process_encodes_the_same(design: Design, data: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(design.spec.to_dict()))
    data.to_pickle(tmp_path / "data.pickle")
    script = (
        "import json, sys, numpy as np, pandas as pd\n"
        "from mixedfx.formula.spec import DesignSpec\n"
        "spec = DesignSpec.from_dict(json.load(open('spec.json')))\n"
        "assert 'formulaic' not in sys.modules, 'formulaic is slow to import and not needed yet'\n"
        "p = spec.encode(pd.read_pickle('data.pickle'))\n"
        "np.savez('p.npz', features=p.features, offset=p.offset, *[t.grouping.codes for t in p.terms])\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, env={"PYTHONPATH": str(root)})
    found = np.load(tmp_path / "p.npz")
    assert np.array_equal(found["features"], design.predictors.features)
    assert np.array_equal(found["offset"], design.predictors.offset)
    for k, term in enumerate(design.predictors.terms):
        assert np.array_equal(found[f"arr_{k}"], term.grouping.codes)


def test_levels_unknown_to_the_fit(design: Design, data: pd.DataFrame) -> None:
    new = data.iloc[:4].astype({"kind": "str"}).assign(user=[1000, 5, 1001, 5], item="other")
    p = design.spec.encode(new)
    assert p.terms[0].grouping.codes.tolist() == [0, -1, 1, -1]
    assert p.terms[1].grouping.codes.tolist() == [-1] * 4
    assert p.terms[0].grouping.levels is design.predictors.terms[0].grouping.levels
    assert design.spec.row_levels(new, "user").tolist() == [1000, 5, 1001, 5]
    expected = [f"{k}:{y}" for k, y in zip(new["kind"], new["year"], strict=True)]
    assert design.spec.row_levels(new, "kind:year").tolist() == expected
    with pytest.raises(DataError, match="no grouping factor 'itm'; there are: user, item, kind:year, year"):
        design.spec.row_levels(new, "itm")


def test_categories_unknown_to_the_fit(design: Design, data: pd.DataFrame) -> None:
    # "x" is among the fit's categories, but no row had it.
    for unseen, source in (("x", data), ("neu", data.astype({"kind": "str"}))):
        new = source.iloc[:3].copy()
        new.loc[new.index[1], "kind"] = unseen
        with pytest.raises(DataError, match=f"column 'kind' holds '{unseen}', .* known are: c, b, a"):
            design.spec.encode(new)


def test_new_data_must_be_complete(design: Design, data: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no column 'flag'"):
        design.spec.encode(data.drop(columns=["flag", "y"]))
    new = data.iloc[:5].copy()
    new.iloc[0, new.columns.get_loc("x")] = np.nan
    new.iloc[2:4, new.columns.get_loc("item")] = None
    with pytest.raises(DataError, match=r"missing values in x \(1\), item \(2\) of 5 rows"):
        design.spec.encode(new)
    with pytest.raises(DataError, match="column 'z' is infinite"):
        design.spec.encode(data.iloc[:5].assign(z=np.inf))
    with pytest.raises(DataError, match="column 'x' is used as numbers but its type is"):
        design.spec.encode(data.iloc[:5].assign(x="0.5"))


def test_no_rows(design: Design, data: pd.DataFrame) -> None:
    assert design.spec.encode(data.iloc[:0]).n_rows == 0


def test_another_layout_is_refused(design: Design) -> None:
    with pytest.raises(DataError, match="layout 99"):
        DesignSpec.from_dict(design.spec.to_dict() | {"version": 99})
