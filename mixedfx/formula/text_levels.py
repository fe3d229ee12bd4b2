"""Text held by Arrow, numbered and found without a Python object a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Codes = NDArray[np.int32]


def arrow_text(column: pd.Series) -> pa.ChunkedArray | None:
    """The Arrow array behind a column of text, None for columns of any other kind."""
    dtype = column.dtype
    if not isinstance(dtype, pd.ArrowDtype) and getattr(dtype, "storage", None) != "pyarrow":
        return None
    values: Any = column.array
    text = values.__arrow_array__()
    return text if pa.types.is_string(text.type) or pa.types.is_large_string(text.type) else None


def number_texts(text: pa.ChunkedArray) -> tuple[Codes, pd.Index]:
    """Each row's position among the sorted distinct values, int32, shape (N,), and these values, shape (J,)."""
    codes = np.empty(len(text), dtype=np.int32)
    encoded = text.dictionary_encode().unify_dictionaries()
    levels = pd.Index(encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else [])
    order = np.asarray(levels.argsort())
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    start = 0
    for chunk in encoded.chunks:
        # Codes cannot be out of range; "clip" spares the copy that checking them first would need.
        np.take(rank, chunk.indices.to_numpy(), out=codes[start : start + len(chunk)], mode="clip")
        start += len(chunk)
    return codes, levels[order]


def find_texts(text: pa.ChunkedArray, levels: pd.Index) -> Codes:
    """Each row's position in `levels`, int32, shape (N,), -1 where it is not there."""
    known = pc.SetLookupOptions(value_set=pa.array(levels.tolist(), type=text.type))
    found = pc.call_function("index_in", [text], known)
    return found.fill_null(-1).to_numpy()
