"""Response distributions, one a file."""

from __future__ import annotations

from mixedfx.errors import SettingError
from mixedfx.families.base import Derivatives, Family
from mixedfx.families.bernoulli import Bernoulli
from mixedfx.families.binomial import Binomial
from mixedfx.families.cumulative import Cumulative
from mixedfx.families.gaussian import Gaussian
from mixedfx.families.poisson import Poisson

FAMILIES: dict[str, Family] = {
    family.name: family for family in (Gaussian(), Bernoulli(), Binomial(), Poisson(), Cumulative())
}

__all__ = ["FAMILIES", "Derivatives", "Family", "get_family"]


def get_family(name: str | Family) -> Family:
    """The family called `name`; raises `SettingError` listing the known ones."""
    if isinstance(name, Family):
        return name
    if not isinstance(name, str) or name not in FAMILIES:
        raise SettingError(f"unknown family {name!r}; known families: {', '.join(FAMILIES)}")
    return FAMILIES[name]
