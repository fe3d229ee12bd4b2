"""Formulas in the notation of R and lme4: read, checked against a whitelist, and turned into predictors."""

from __future__ import annotations

from mixedfx.formula.formula import Formula, parse_formula
from mixedfx.formula.transforms import TRANSFORMS

__all__ = ["TRANSFORMS", "Formula", "parse_formula"]
