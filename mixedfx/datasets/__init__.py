"""Example data: two sets that come with the package, and MovieLens, which is downloaded."""

from __future__ import annotations

from mixedfx.datasets.embedded import load_insteval, load_verbagg
from mixedfx.datasets.movielens import load_movielens

__all__ = ["load_insteval", "load_movielens", "load_verbagg"]
