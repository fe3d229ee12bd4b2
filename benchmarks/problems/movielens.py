"""MovieLens: rating >= 4 for stage 2 at given covariances and stage 1 by Laplace; ratings as numbers for stage 1.

The files may not be passed on, so they are read from a folder, or downloaded by `mixedfx.datasets.load_movielens`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from benchmarks.problem import Problem, Sources, Unavailable

# The four genres with most ratings in MovieLens-100K.
GENRES = {"Drama": "drama", "Comedy": "comedy", "Action": "action", "Thriller": "thriller"}


def _load_100k(sources: Sources) -> pd.DataFrame:
    if sources.movielens == "download":
        ratings = _download("100k")
    else:
        ratings = _read(sources, "ml_100k_ratings.parquet")
        items = _read(sources, "ml_100k_items.parquet").rename(columns=GENRES)
        users = _read(sources, "ml_100k_users.parquet")
        ratings = ratings.merge(items[["item_id", *GENRES.values()]], on="item_id", validate="many_to_one")
        ratings = ratings.merge(users[["user_id", "age"]], on="user_id", validate="many_to_one")
        ratings = ratings.rename(columns={"user_id": "user", "item_id": "item"})
    age = ratings["age"].astype(float)
    return ratings.assign(
        liked=(ratings["rating"] >= 4).astype("int8"), age_z=(age - age.mean()) / age.std(ddof=0)
    )


def _load_ratings(name: str, file: str, sources: Sources) -> pd.DataFrame:
    if sources.movielens == "download":
        ratings = _download(name)
    else:
        ratings = _read(sources, file).rename(columns={"user_id": "user", "item_id": "item"})
    return ratings.assign(liked=(ratings["rating"] >= 4).astype("int8"))


_load_small = partial(_load_ratings, "latest-small", "ml_latest_small_ratings.parquet")
load_1m = partial(_load_ratings, "1m", "ml_1m_ratings.parquet")


def _load_1m_ratings(sources: Sources) -> pd.DataFrame:
    return load_1m(sources).astype({"rating": float})


def _read(sources: Sources, name: str) -> pd.DataFrame:
    if sources.movielens is None:
        raise Unavailable("no MovieLens data: give --movielens FOLDER or --movielens download")
    path = Path(sources.movielens) / name
    if not path.exists():
        raise Unavailable(f"there is no {path}")
    return pd.read_parquet(path)


def _download(name: str) -> pd.DataFrame:
    from mixedfx.datasets import load_movielens
    from mixedfx.errors import DownloadError, MissingExtraError

    try:
        return load_movielens(name)
    except (DownloadError, MissingExtraError) as error:
        raise Unavailable(str(error)) from error


_GENRES = " + ".join(GENRES.values())

# Near what the data say (Laplace), rounded. The objective published for diamond, 55065.87499, is at a choice of genres,
# feature and covariances that was not published with it, so it is no reference for this one.
_SLOPES_VARCORR = (
    ("user", "(Intercept)", None, 0.64),
    ("user", "drama", None, 0.14),
    ("user", "comedy", None, 0.12),
    ("user", "action", None, 0.28),
    ("user", "thriller", None, 0.15),
    ("user", "(Intercept)", "drama", -0.04),
    ("user", "(Intercept)", "comedy", -0.01),
    ("user", "(Intercept)", "action", 0.0),
    ("user", "(Intercept)", "thriller", -0.01),
    ("user", "drama", "comedy", 0.01),
    ("user", "drama", "action", -0.05),
    ("user", "drama", "thriller", -0.02),
    ("user", "comedy", "action", 0.03),
    ("user", "comedy", "thriller", 0.0),
    ("user", "action", "thriller", 0.035),
    ("item", "(Intercept)", None, 0.99),
    ("item", "age_z", None, 0.043),
    ("item", "(Intercept)", "age_z", -0.033),
)

PROBLEMS = (
    Problem(
        "ml100k-slopes-coefficients",
        f"liked ~ 1 + {_GENRES} + age_z + (1 + {_GENRES} | user) + (1 + age_z | item)",
        "bernoulli",
        "coefficients",
        _load_100k,
        varcorr=_SLOPES_VARCORR,
    ),
    Problem(
        "ml1m-intercepts-coefficients",
        "liked ~ 1 + (1 | user) + (1 | item)",
        "bernoulli",
        "coefficients",
        load_1m,
        # Laplace estimates from all rows, rounded.
        varcorr=(("user", "(Intercept)", None, 0.616), ("item", "(Intercept)", None, 1.384)),
    ),
    Problem(
        "ml1m-ordinal-coefficients",
        "rating ~ 1 + (1 | user) + (1 | item)",
        "cumulative",
        "coefficients",
        load_1m,
        # Laplace estimates from all rows, rounded.
        varcorr=(("user", "(Intercept)", None, 0.638), ("item", "(Intercept)", None, 1.499)),
    ),
    Problem("mlsmall-laplace", "liked ~ 1 + (1 | user) + (1 | item)", "bernoulli", "covariance", _load_small),
    Problem(
        "ml1m-gaussian", "rating ~ 1 + (1 | user) + (1 | item)", "gaussian", "covariance", _load_1m_ratings
    ),
    Problem("ml1m-laplace", "liked ~ 1 + (1 | user) + (1 | item)", "bernoulli", "covariance", load_1m),
    Problem("ml1m-ordinal", "rating ~ 1 + (1 | user) + (1 | item)", "cumulative", "covariance", load_1m),
)
