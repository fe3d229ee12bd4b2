"""The map of the source at the end of CONTRIBUTING.md: the first paragraph of every module's docstring.

Run as a script (``make map``) it writes the map anew.
"""

from __future__ import annotations

import ast
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
HEADING = "## Map of the source\n"


def render() -> str:
    """The section's text, from the heading to the end."""
    modules = sorted(path.relative_to(ROOT) for path in (ROOT / "mixedfx").rglob("*.py"))
    # The package's own files first, then folder by folder.
    modules.sort(key=lambda path: (len(path.parts) > 2, path.parts[:-1]))
    text = (
        f"{HEADING}\nWritten by `make map` from the modules' docstrings; a test compares it with the tree.\n"
    )
    for folder, paths in groupby(modules, key=lambda path: path.parent):
        lines = [f"- `{path.name}`: {summary}" for path in paths if (summary := _summary(path))]
        text += "\n".join(["", f"### {folder.as_posix()}/", "", *lines, ""]) if lines else ""
    return text


def _summary(path: Path) -> str:
    """First paragraph of the docstring; empty for a file with no code, as some ``__init__.py`` are."""
    tree = ast.parse((ROOT / path).read_text())
    return " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())


def split() -> tuple[str, str]:
    """CONTRIBUTING.md before the map, and the map."""
    before, heading, after = CONTRIBUTING.read_text().partition(HEADING)
    return before, heading + after


if __name__ == "__main__":
    CONTRIBUTING.write_text(split()[0] + render())
