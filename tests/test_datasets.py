"""The embedded data are R's, and MovieLens archives are read right (on tiny ones made here)."""

from __future__ import annotations

import doctest
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest

from mixedfx.datasets import embedded, load_insteval, load_movielens, load_verbagg
from mixedfx.datasets.movielens import genre_column, read_archive
from mixedfx.errors import DownloadError, MissingExtraError, SettingError


def test_insteval_is_lme4s() -> None:
    data = load_insteval()
    assert data.shape == (73421, 7)
    assert list(data.columns) == ["s", "d", "studage", "lectage", "service", "dept", "y"]
    sizes = {c: len(data[c].cat.categories) for c in data.columns[:-1]}
    assert sizes == {"s": 2972, "d": 1128, "studage": 4, "lectage": 6, "service": 2, "dept": 14}
    assert data["studage"].cat.ordered
    assert data["lectage"].cat.ordered
    assert not data["dept"].cat.ordered
    # R's order of dept is not sorted; it decides the order of conditional modes.
    assert data["dept"].cat.categories[:3].tolist() == ["15", "5", "10"]
    # R: mean(InstEval$y) and the first row.
    assert data["y"].mean() == pytest.approx(3.205745, abs=1e-6)
    assert data.iloc[0].tolist() == ["1", "1002", "2", "2", "0", "2", 5]


def test_verbagg_is_lme4s() -> None:
    data = load_verbagg()
    assert data.shape == (7584, 9)
    assert data["resp"].cat.ordered
    assert data["mode"].cat.categories.tolist() == ["want", "do"]
    assert data["r2"].cat.categories.tolist() == ["N", "Y"]
    assert ((data["r2"] == "N") == (data["resp"] == "no")).all()
    assert data.groupby(["id", "item"], observed=True).size().eq(1).all()


def test_each_load_is_a_fresh_copy() -> None:
    first = load_verbagg()
    first["Anger"] = 0
    assert load_verbagg()["Anger"].sum() > 0


def archive(folder: Path, name: str, members: dict[str, str]) -> Path:
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for member, text in members.items():
            zipped.writestr(f"{name}/{member}", text.encode("latin-1"))
    return path


def test_100k(tmp_path: Path) -> None:
    flags = {"Film-Noir": "0|0|1", "Children's": "0|1|0"}
    path = archive(
        tmp_path,
        "ml-100k",
        {
            # The genres' numbers, not their lines, give the order of the flags.
            "u.genre": "unknown|0\nFilm-Noir|2\nChildren's|1\n\n",
            "u.data": "1\t10\t3\t881250949\n2\t11\t5\t891717742\n1\t11\t1\t878887116\n",
            "u.user": "1|24|M|technician|85711\n2|53|F|other|T8H1N\n",
            "u.item": (
                f"10|Misérables, Les (1995)|01-Jan-1995||http://a|{flags['Film-Noir']}\n"
                f"11|unknown||||{flags["Children's"]}\n"
            ),
        },
    )
    data = read_archive(path, "100k")
    assert data["rating"].tolist() == [3, 5, 1]
    assert data["user"].tolist() == [1, 2, 1]
    assert data["item"].tolist() == [10, 11, 11]
    assert data["age"].tolist() == [24, 53, 24]
    assert data["zip"].tolist() == ["85711", "T8H1N", "85711"]
    assert data["title"].tolist() == ["Misérables, Les (1995)", "unknown", "unknown"]
    np.testing.assert_array_equal(data["year"], [1995, np.nan, np.nan])
    assert data["film_noir"].tolist() == [1, 0, 0]
    assert data["childrens"].tolist() == [0, 1, 1]
    assert data["film_noir"].dtype == "int8"


def test_1m(tmp_path: Path) -> None:
    path = archive(
        tmp_path,
        "ml-1m",
        {
            "ratings.dat": "1::7::5::978300760\n2::8::3::978302109\n",
            "users.dat": "1::F::1::10::48067\n2::M::56::16::02139\n",
            "movies.dat": (
                '7::Alien: "Director" (1979)::Horror|Sci-Fi\n8::Café (1990)::Drama\n9::Unrated (2000)::War\n'
            ),
        },
    )
    data = read_archive(path, "1m")
    assert len(data) == 2
    assert data["occupation"].tolist() == ["K-12 student", "self-employed"]
    assert data["zip"].tolist() == ["48067", "02139"]
    assert data["title"].tolist() == ['Alien: "Director" (1979)', "Café (1990)"]
    assert data["sci_fi"].tolist() == [1, 0]
    assert data["year"].tolist() == [1979, 1990]


def test_latest_small(tmp_path: Path) -> None:
    path = archive(
        tmp_path,
        "ml-latest-small",
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,3,4.5,964981247\n",
            "movies.csv": (
                'movieId,title,genres\n3,"Grumpier, Old (1995)",Comedy|Romance\n4,X,(no genres listed)\n'
            ),
        },
    )
    data = read_archive(path, "latest-small")
    assert data["rating"].tolist() == [4.5]
    assert data["title"].tolist() == ["Grumpier, Old (1995)"]
    assert data[["comedy", "romance", "no_genres_listed"]].to_numpy().tolist() == [[1, 1, 0]]
    assert "age" not in data


@pytest.mark.parametrize(
    ("genre", "column"),
    [("Film-Noir", "film_noir"), ("Children's", "childrens"), ("(no genres listed)", "no_genres_listed")],
)
def test_genres_become_names_that_formulas_can_use(genre: str, column: str) -> None:
    assert genre_column(genre) == column
    assert column.isidentifier()


def test_download_is_checked_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(
        tmp_path,
        "ml-latest-small",
        {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,3,4,9\n",
            "movies.csv": "movieId,title,genres\n3,A,War\n",
        },
    )
    asked: list[tuple[str, str | None]] = []

    def retrieve(url: str, known_hash: str | None, **_: object) -> str:
        asked.append((url, known_hash))
        return str(path)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert isinstance(load_movielens("latest-small"), pd.DataFrame)
    assert asked == [("https://files.grouplens.org/datasets/movielens/ml-latest-small.zip", None)]


@pytest.mark.parametrize("cause", [ConnectionError("no route"), ValueError("MD5 hash does not match")])
def test_failed_download_names_the_address(monkeypatch: pytest.MonkeyPatch, cause: Exception) -> None:
    def retrieve(*_: object, **settings: object) -> str:
        assert settings["known_hash"] == "md5:c4d9eecfca2ab87c1945afe126590906"
        raise cause

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(DownloadError, match=r"ml-1m\.zip"):
        load_movielens("1m")


def test_missing_pooch_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"mixedfx\[download\]"):
        load_movielens("100k")


def test_unknown_set_lists_the_known() -> None:
    with pytest.raises(SettingError, match="100k, 1m, latest-small"):
        load_movielens("20m")


def test_docstring_examples() -> None:
    assert doctest.testmod(embedded).failed == 0
