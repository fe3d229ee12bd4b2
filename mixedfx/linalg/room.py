"""Memory for one matrix over the rest, in which factors and inverses take turns."""

from __future__ import annotations

from threading import local

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Room[Content](local):
    """A flat array, and what it holds now; every thread has one of its own.

    Matrices over the rest are nearly all the memory of the exact engine, and to get such memory from the system anew
    can take longer than to fill it: there is one array, and who finds it taken fills it again.
    """

    def __init__(self, entries: int) -> None:
        self.flat: Floats = np.empty(entries)
        self._held: tuple[object, Content] | None = None

    def of(self, owner: object) -> Content | None:
        """What `owner` has put here, None where others have been here since."""
        return self._held[1] if self._held is not None and self._held[0] is owner else None

    def put(self, owner: object, content: Content) -> None:
        """Say whose the array is from now on."""
        self._held = (owner, content)

    def clear(self) -> Floats:
        """The array, shape (entries,), which is nobody's then."""
        self._held = None
        return self.flat
