"""MovieLens ratings, downloaded from GroupLens: their licence forbids passing the files on."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import IO

import pandas as pd

from mixedfx.errors import DownloadError, MissingExtraError, SettingError

SITE = "https://files.grouplens.org/datasets/movielens"

# The README of ml-1m explains its occupation numbers.
OCCUPATIONS_1M = [
    "other/not specified",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
]


def load_movielens(name: str) -> pd.DataFrame:
    """Film ratings with what is known of users and films, one row a rating.

    The archive is downloaded once, checked against GroupLens' published MD5 sum where there is one, and kept
    in the user's cache folder. Needs the extra ``mixedfx[download]``.

    Parameters
    ----------
    name
        ``"100k"`` (100,000 ratings, 943 users, 1,682 films; 1998), ``"1m"`` (1,000,209 ratings, 6,040 users,
        3,706 films; 2003) or ``"latest-small"`` (about 100,000 ratings of 610 users; changes over time).

    Returns
    -------
    DataFrame
        ``user``, ``item``
            GroupLens' integer ids
        ``rating``
            1 to 5 in whole stars; half stars from 0.5 in "latest-small"
        ``timestamp``
            seconds since 1970, UTC
        ``title``
            of the film, categorical
        ``year``
            of release, from the title; NaN where it has none
        ``age``, ``gender``, ``occupation``, ``zip``
            of the user ("100k" and "1m" only); in "1m" `age` is the lower end of a range
        one column a genre
            0/1, named as a formula can use it: ``action``, ``childrens``, ``film_noir``, ``sci_fi``, ...

    Raises
    ------
    SettingError
        `name` is unknown.
    MissingExtraError
        pooch, which downloads, is not installed.
    DownloadError
        The archive cannot be fetched, or is not the published one.

    Notes
    -----
    Cite F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015. The
    files may be used for research, not be passed on, nor be used commercially without permission.

    Examples
    --------
    >>> from mixedfx.datasets import load_movielens
    >>> ratings = load_movielens("100k")  # doctest: +SKIP
    """
    if name not in ARCHIVES:
        raise SettingError(f"unknown MovieLens set {name!r}; available: {', '.join(ARCHIVES)}")
    archive = ARCHIVES[name]
    return read_archive(_download(archive), name)


def read_archive(path: Path, name: str) -> pd.DataFrame:
    """The ratings in GroupLens' zip file of set `name`, as `load_movielens` returns them."""
    archive = ARCHIVES[name]
    with zipfile.ZipFile(path) as zipped:

        def member(file: str) -> IO[bytes]:
            return zipped.open(f"{archive.folder}/{file}")

        ratings, users, items = archive.read(member)
    if users is not None:
        ratings = ratings.merge(users, on="user", how="left", validate="many_to_one")
    return ratings.merge(_item_features(items), on="item", how="left", validate="many_to_one")


Member = Callable[[str], IO[bytes]]
Tables = tuple[pd.DataFrame, pd.DataFrame | None, pd.DataFrame]


@dataclass(frozen=True)
class Archive:
    """One of GroupLens' zip files: its folder inside, MD5 sum where published, and how to read it.

    `read` gives ratings, users (or None) and items (item, title, and either genres or one flag a genre).
    """

    folder: str
    md5: str | None
    read: Callable[[Member], Tables]


def _read_100k(member: Member) -> Tables:
    ratings = pd.read_csv(member("u.data"), sep="\t", names=["user", "item", "rating", "timestamp"])
    users = pd.read_csv(
        member("u.user"),
        sep="|",
        names=["user", "age", "gender", "occupation", "zip"],
        dtype={"gender": "category", "occupation": "category", "zip": str},
    )
    genres = pd.read_csv(member("u.genre"), sep="|", names=["genre", "number"]).sort_values("number")["genre"]
    items = pd.read_csv(
        member("u.item"),
        sep="|",
        encoding="latin-1",
        names=["item", "title", "release_date", "video_release_date", "imdb_url", *genres],
    )
    return ratings, users, items.drop(columns=["release_date", "video_release_date", "imdb_url"])


def _read_1m(member: Member) -> Tables:
    ratings = _double_colons(member("ratings.dat"), ["user", "item", "rating", "timestamp"])
    users = _double_colons(member("users.dat"), ["user", "gender", "age", "occupation", "zip"])
    users["gender"] = users["gender"].astype("category")
    users["occupation"] = pd.Categorical.from_codes(users["occupation"].to_numpy(), categories=OCCUPATIONS_1M)
    users["zip"] = users["zip"].astype(str)
    return ratings, users, _double_colons(member("movies.dat"), ["item", "title", "genres"])


def _read_latest(member: Member) -> Tables:
    names = {"userId": "user", "movieId": "item"}
    ratings = pd.read_csv(member("ratings.csv")).rename(columns=names)
    return ratings, None, pd.read_csv(member("movies.csv")).rename(columns=names)


def _double_colons(file: IO[bytes], names: list[str]) -> pd.DataFrame:
    # pandas' fast parser splits at one character only; no field holds a tab, and titles hold single colons.
    text = file.read().decode("latin-1").replace("::", "\t")
    return pd.read_csv(StringIO(text), sep="\t", names=names, dtype={"zip": str}, quoting=3)


def _item_features(items: pd.DataFrame) -> pd.DataFrame:
    if "genres" in items:
        flags = items["genres"].str.get_dummies("|")
        items = pd.concat([items.drop(columns="genres"), flags], axis=1)
    genres = [column for column in items.columns if column not in ("item", "title")]
    year = items["title"].str.extract(r"\((\d{4})\)\s*$", expand=False).astype(float)
    out = items.astype(dict.fromkeys(genres, "int8")).rename(columns={g: genre_column(g) for g in genres})
    out.insert(2, "year", year)
    out["title"] = out["title"].astype("category")
    return out


def genre_column(genre: str) -> str:
    """A genre's name as a column that needs no quoting in a formula: ``"Film-Noir"`` -> ``"film_noir"``."""
    return re.sub(r"[^a-z0-9]+", "_", genre.lower().replace("'", "")).strip("_")


def _download(archive: Archive) -> Path:
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError(
            "downloading MovieLens needs pooch, which is not installed: pip install 'mixedfx[download]'"
        ) from error
    url = f"{SITE}/{archive.folder}.zip"
    try:
        path = pooch.retrieve(
            url,
            known_hash=None if archive.md5 is None else f"md5:{archive.md5}",
            fname=f"{archive.folder}.zip",
            path=pooch.os_cache("mixedfx"),
        )
    except (OSError, ValueError) as error:
        # requests' errors are OSErrors; a wrong MD5 sum is pooch's ValueError.
        raise DownloadError(
            f"cannot fetch {url} ({error}); check the network, or put the file into the folder "
            f"{pooch.os_cache('mixedfx')} yourself"
        ) from error
    return Path(path)


ARCHIVES: dict[str, Archive] = {
    "100k": Archive("ml-100k", "0e33842e24a9c977be4e0107933c0723", _read_100k),
    "1m": Archive("ml-1m", "c4d9eecfca2ab87c1945afe126590906", _read_1m),
    "latest-small": Archive("ml-latest-small", None, _read_latest),
}
