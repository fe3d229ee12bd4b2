"""A library's process, from the runner's side: started, asked for fits, stopped when it takes too long."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parents[1]

# Every library's own name for its number of threads. The processor cores are limited besides, for those with another.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)


class Failed(Exception):
    """A library's process ended or answered nonsense; the message holds its last words."""


class TooSlow(Exception):
    """A library's process did not answer within the time limit, and was stopped."""


class Skipped(Exception):
    """A library cannot fit the problem; the message says why."""


@dataclass(eq=False)
class LibraryProcess:
    """A running library process; use it in a ``with`` statement.

    Parameters
    ----------
    command
        Program and arguments, speaking the protocol of `benchmarks.worker`.
    log
        File for its standard error.
    threads
        Number of threads that it may use.
    limit
        Seconds that an answer may take.
    environment
        Further environment variables.
    """

    command: Sequence[str]
    log: Path
    threads: int
    limit: float
    environment: dict[str, str] = field(default_factory=dict)
    version: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> LibraryProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def start(self, limit: float) -> None:
        """Start it, and wait until it has read the data; raises `Skipped` where it cannot fit the problem."""
        pinned = dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        try:
            with self.log.open("w") as log:
                self._process = subprocess.Popen(
                    self.command,
                    cwd=ROOT,
                    env=os.environ | pinned | self.environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
        except OSError as error:
            raise Skipped(f"{self.command[0]} cannot be run: {error.strerror}") from error
        message = self._read(limit)
        self.version = str(message.get("version", ""))
        if "skipped" in message:
            raise Skipped(message["skipped"])

    def fit(self, request: str = "fit") -> dict[str, Any]:
        """One fit: seconds, memory (bytes above what was in use, None where not measured) and details.

        The first fit measures memory, later ones after the request "memory".
        """
        pipe = self._running.stdin
        assert pipe is not None
        try:
            pipe.write(f"{request}\n".encode())
            pipe.flush()
        except BrokenPipeError as error:
            raise Failed(self._last_words()) from error
        return self._read(self.limit)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("call start() first")
        return self._process

    def _read(self, limit: float) -> dict[str, Any]:
        pipe = self._running.stdout
        assert pipe is not None
        until = time.monotonic() + limit
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(until - time.monotonic(), 0))
            if not ready:
                self._running.kill()  # what went on computing would slow down everybody after it
                self._running.wait()
                raise TooSlow(f"stopped after {limit:g} s")
            piece = os.read(pipe.fileno(), 1 << 16)
            if not piece:
                raise Failed(self._last_words())
            line += piece
        try:
            return json.loads(line)
        except json.JSONDecodeError as error:
            raise Failed(f"its process wrote {line[:200]!r}") from error

    def _last_words(self) -> str:
        # The pipe is closed before the process has quite ended.
        self._running.wait(10)
        lines = self.log.read_text(errors="replace").split("\n")
        words = [line.strip() for line in lines if line.strip()]
        return words[-1] if words else f"its process ended with code {self._running.returncode}"
