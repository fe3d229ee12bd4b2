"""The process of one Python library on one problem: fits whenever it is told to.

``python -m benchmarks.worker LIBRARY FOLDER`` reads the case in FOLDER and writes one line of JSON: ``{"ready": ...}``
or ``{"skipped": reason}``. Each line it then reads, "fit" or "memory", makes it fit once and say how many seconds that
took; after "memory" and in the first fit it measures memory too, which may slow a fit a little. The first fit's answer
is left there as answer-LIBRARY.csv. It imports neither mixedfx nor any other library than the one it is about.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd
import pyarrow.parquet  # noqa: F401  (what reads the data is loaded before the library's own import is timed)

from benchmarks import memory
from benchmarks.answer import write_answer
from benchmarks.case import Case


class Adapter(Protocol):
    """What a module ``bench_<name>`` of `benchmarks.libraries` provides."""

    def version(self) -> str:
        """The library's version."""
        ...

    def refusal(self, case: Case) -> str | None:
        """Why the library cannot fit this problem, or None."""
        ...

    def prepare(self, case: Case) -> Any:
        """The data as the library wants them. Not timed."""
        ...

    def fit(self, case: Case, prepared: Any) -> Any:
        """Fit. Timed."""
        ...

    def answer(self, case: Case, prepared: Any, result: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The table of coefficients or covariances (see `benchmarks.answer`), and details worth keeping."""
        ...


def main(library: str, folder: Path) -> None:
    # Libraries print; the runner reads this process's standard output.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def reply(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")

    began = time.perf_counter()
    try:
        adapter = cast(Adapter, import_module(f"benchmarks.libraries.bench_{library}"))
    except ImportError as error:
        reply(skipped=f"not installed in {sys.executable}: {error}")
        return
    import_seconds = time.perf_counter() - began
    case = Case.read(folder)
    if reason := adapter.refusal(case):
        reply(skipped=reason, version=adapter.version())
        return
    prepared = adapter.prepare(case)
    gc.collect()
    reply(ready=True, version=adapter.version())
    details: dict[str, Any] | None = None
    for request in sys.stdin:
        measured = details is None or request.strip() == "memory"
        in_use = memory.start() if measured else None
        began = time.perf_counter()
        result = adapter.fit(case, prepared)
        seconds = time.perf_counter() - began
        peak = memory.peak_above(in_use) if measured else None
        if details is None:
            table, details = adapter.answer(case, prepared, result)
            write_answer(table, folder / f"answer-{library}.csv")
            # The first fit pays for loading the library too, which some do before and some while they fit.
            seconds += import_seconds
            del table
        del result
        gc.collect()
        reply(seconds=seconds, memory=peak, details=details)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
