"""The registry of problems."""

from __future__ import annotations

from benchmarks.problem import Problem
from benchmarks.problems import insteval, movielens, simulated, verbagg

PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for module in (verbagg, insteval, movielens, simulated)
    for problem in module.PROBLEMS
}
