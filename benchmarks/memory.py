"""Peak memory of a piece of work, from Linux's /proc.

`resource.getrusage` gives the peak of the process's whole life, that of reading the data included (and, after a fork,
of its parent). Linux can set the mark back; elsewhere nothing is measured. Memory that was freed but that the C library
keeps for later is given back first, or a second fit would seem to need none.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def start() -> int | None:
    """Set the peak back and return the memory in use, in bytes; None where that cannot be measured."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # where the C library is another
        ctypes.CDLL(None).malloc_trim(0)
    try:
        _RESET.write_text("5")
        return _read("VmRSS")
    except OSError:
        return None


def peak_above(begin: int | None) -> int | None:
    """Bytes by which memory rose above `begin`, which `start` returned."""
    return None if begin is None else max(_read("VmHWM") - begin, 0)


def _read(key: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024
