"""placeholder, to be written by whoever owns mixedfx/formula"""

from __future__ import annotations
from dataclasses import dataclass
import pandas as pd


@dataclass(frozen=True, eq=False)
class DesignSpec:
    response_levels: pd.Index | None = None
