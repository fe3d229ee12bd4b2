"""Rules about the package itself: quick import, imports that go one way, public names that exist."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import source_map

import mixedfx

ROOT = Path(mixedfx.__file__).parent
HEAVY = ("numba", "jax", "numpyro", "arviz", "matplotlib")

# From the base up. A unit may import its own layer and those below, and one stage never the other. What is
# not named here is the base.
LAYERS = [{"covariance", "coefficients"}, {"api", "checks"}, {"pipeline"}, {"cli", "__main__"}]
ABOVE_THE_API = 3
STAGES = {"covariance", "coefficients"}
SEES_BOTH_STAGES = {"api", "checks", "pipeline", "cli"}
# Data structures, but nothing that knows of likelihoods.
LINALG_MAY_IMPORT = {"linalg", "errors", "grouping", "predictors", "row_chunks"}


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_import_is_quick_and_loads_nothing_heavy() -> None:
    code = f"""
import json, sys, time
import pandas
start = time.perf_counter()
import mixedfx
seconds = time.perf_counter() - start
print(json.dumps([seconds, [name for name in {HEAVY} if name in sys.modules]]))
"""
    # The best of several, because other processes can only make it slower.
    results = [json.loads(run_python(code)) for _ in range(3)]
    assert min(seconds for seconds, _ in results) < 0.2
    assert results[0][1] == []


def test_light_names_stay_light() -> None:
    code = f"""
import sys
import mixedfx
mixedfx.VarCorr, mixedfx.Subsample, mixedfx.errors, mixedfx.datasets.load_insteval
print([name for name in {HEAVY} if name in sys.modules])
"""
    assert run_python(code).strip() == "[]"


def test_public_names_exist_and_type_checkers_see_them() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    declared = {
        alias.asname or alias.name
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == set(mixedfx.__all__)
    for name in mixedfx.__all__:
        assert getattr(mixedfx, name) is not None
    assert set(mixedfx.__all__) <= set(dir(mixedfx))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lmer'"):
        mixedfx.lmer  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def module_name(path: Path) -> str:
    parts = ("mixedfx", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(name: str, *, when: str) -> set[str]:
    """Modules of the package that a module imports: "loaded" with it, or "ever" (in functions, for types)."""
    found: set[str] = set()
    for node in _import_nodes(ast.parse(MODULES[name].read_text()), when):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{name} has a relative import"
            module = node.module or ""
            # `from package import module` imports the module; `from module import name` the module itself.
            members = {f"{module}.{alias.name}" for alias in node.names}
            found |= {member for member in members if member in MODULES} or {module}
    return {target for target in found if target in MODULES}


def _import_nodes(node: ast.AST, when: str) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif when == "ever" or not _is_lazy(child):
            yield from _import_nodes(child, when)


def _is_lazy(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def unit(module: str) -> str:
    """The part of the package a module belongs to: ``mixedfx.linalg.kernels`` -> ``linalg``."""
    return [*module.split("."), ""][1]


def layer(module: str) -> int:
    return next((i for i, units in enumerate(LAYERS, start=1) if unit(module) in units), 0)


# The package itself names everything, for type checkers and lazily.
INNER = [name for name in MODULES if name != "mixedfx"]


@pytest.mark.parametrize("name", INNER)
def test_imports_go_down(name: str) -> None:
    for target in imports(name, when="ever"):
        if layer(name) < ABOVE_THE_API:
            assert target != "mixedfx", f"{name} imports the public names, which are above it"
        assert layer(target) <= layer(name), f"{name} imports {target}, which is above it"
        crosses = {unit(name), unit(target)} == STAGES
        assert not crosses, f"{name} imports {target}: only VarCorr passes between the stages"
        if unit(name) == "linalg":
            assert unit(target) in LINALG_MAY_IMPORT, f"{name} imports {target}: linalg knows no statistics"


def test_only_the_top_sees_both_stages() -> None:
    both = {unit(name) for name in INNER if {unit(t) for t in imports(name, when="ever")} >= STAGES}
    assert both <= SEES_BOTH_STAGES


def test_no_import_cycles() -> None:
    """As modules are loaded: a result's `save` may import, when called, the module that loads results."""
    graph = {name: _edges(name) for name in INNER}
    cycle = _find_cycle(graph)
    assert cycle is None, " -> ".join(cycle or [])


def _edges(name: str) -> set[str]:
    """What must be loaded for a module: its imports, and the packages (from outside) that these lie in."""
    targets = imports(name, when="loaded")
    for target in list(targets):
        package = target.rpartition(".")[0]
        while package != "mixedfx" and package:
            if not name.startswith(f"{package}.") and name != package:
                targets.add(package)
            package = package.rpartition(".")[0]
    return targets - {"mixedfx", name}


def _find_cycle(graph: dict[str, set[str]]) -> list[str] | None:
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return None
        for target in sorted(graph[name]):
            if cycle := visit(target, [*path, name]):
                return cycle
        finished.add(name)
        return None

    for name in graph:
        if cycle := visit(name, []):
            return cycle
    return None


def test_cycles_are_found() -> None:
    assert _find_cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _find_cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def test_map_of_the_source_is_current() -> None:
    assert source_map.split()[1] == source_map.render(), (
        "CONTRIBUTING.md's map is out of date; run `make map`"
    )


@pytest.mark.parametrize("name", INNER)
def test_modules_say_what_they_are_for(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text())
    assert not tree.body or ast.get_docstring(tree)
