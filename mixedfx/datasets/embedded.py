"""The data sets that come with the package, from R's lme4 (GPL-2.0-or-later, see lme4.LICENSE.txt)."""

from __future__ import annotations

from importlib import resources

import pandas as pd


def load_insteval() -> pd.DataFrame:
    """Students' ratings of lectures at ETH Zurich: crossed, unbalanced, 73,421 ratings.

    Returns
    -------
    DataFrame of shape (73421, 7)
        ``s``
            student, 2,972 levels
        ``d``
            lecturer (Dozent), 1,128 levels
        ``studage``
            semesters the student has been enrolled, ordered: 2 < 4 < 6 < 8
        ``lectage``
            semesters since the lecture was held, ordered: 1 < 2 < ... < 6
        ``service``
            "1" for a service lecture, held for a department other than the lecturer's own, else "0"
        ``dept``
            the lecture's department, 14 levels, in random order
        ``y``
            the rating, 1 (poor) to 5 (very good)

    Notes
    -----
    ``InstEval`` of the R package lme4 1.1-31, licence GPL-2.0-or-later. Level orders are R's.

    Examples
    --------
    >>> from mixedfx.datasets import load_insteval
    >>> load_insteval().shape
    (73421, 7)
    """
    return _read("insteval")


def load_verbagg() -> pd.DataFrame:
    """Answers to a questionnaire on verbal aggression: 316 persons x 24 items, each pair once.

    Returns
    -------
    DataFrame of shape (7584, 9)
        ``Anger``
            the person's trait anger score, an integer
        ``Gender``
            "F" or "M"
        ``item``
            24 items, named by situation, mode and behaviour
        ``resp``
            the answer, ordered: no < perhaps < yes
        ``id``
            person, 316 levels
        ``btype``
            behaviour: curse, scold or shout
        ``situ``
            whose fault the situation is: other or self
        ``mode``
            "want" to behave so, or actually "do" it
        ``r2``
            `resp` in two classes: "N" for no, "Y" for perhaps or yes

    Notes
    -----
    ``VerbAgg`` of the R package lme4 1.1-31, licence GPL-2.0-or-later; from Vansteelandt (2000), in De Boeck
    and Wilson, *Explanatory Item Response Models*, Springer, 2004. Level orders are R's.

    Examples
    --------
    >>> from mixedfx.datasets import load_verbagg
    >>> load_verbagg()["resp"].cat.categories.tolist()
    ['no', 'perhaps', 'yes']
    """
    return _read("verbagg")


def _read(name: str) -> pd.DataFrame:
    with (resources.files(__package__) / f"{name}.parquet").open("rb") as file:
        return pd.read_parquet(file)
