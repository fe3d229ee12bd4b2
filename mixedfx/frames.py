"""Data of any accepted kind as a pandas DataFrame of the columns needed.

Accepted: a pandas or polars DataFrame, an Arrow table (anything with the Arrow PyCapsule stream), or the path
of a Parquet or CSV file or of a folder of them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pandas as pd
import pyarrow as pa

from mixedfx.errors import DataError

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_POLARS_CATEGORICAL = (b"_PL_CATEGORICAL", b"_PL_CATEGORICAL2")


def load(data: object) -> pd.DataFrame:
    """All columns of `data`; see `read_columns`."""
    return _read(data, None)


def read_columns(data: object, columns: Iterable[str]) -> pd.DataFrame:
    """The named columns of `data`, in that order, each once.

    Parameters
    ----------
    data
        A pandas or polars DataFrame, an Arrow table, or a path (str or Path) to Parquet or CSV, file or
        folder, of which only these columns are read. It is never changed.
    columns
        Names.

    Returns
    -------
    DataFrame
        With the row labels of a pandas DataFrame, else 0..N-1. Arrow dictionaries become categoricals in the
        order of the dictionary; those of a polars ``Categorical``, which has no order of its own, are sorted
        (use ``Enum`` for an order). Integers with missing values keep an integer dtype. Parquet itself keeps
        categories of strings only: those of numbers come back as numbers.

    Raises
    ------
    DataError
        The type is none of these, there is no such file, or a column is missing or there twice.

    Examples
    --------
    >>> read_columns(pd.DataFrame({"x": [1, 2], "y": [3, 4]}), ["y"]).columns.tolist()
    ['y']
    """
    return _read(data, tuple(dict.fromkeys(columns)))


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """One column of a frame whose names are distinct."""
    return cast(pd.Series, frame[name])


def _read(data: object, columns: Sequence[str] | None) -> pd.DataFrame:
    if isinstance(data, pd.DataFrame):
        return _of_pandas(data, columns)
    if isinstance(data, str | Path):
        return _of_path(Path(data), columns)
    if hasattr(data, "__arrow_c_stream__"):
        return of_arrow(_as_table(data), columns)
    hint = "; call .collect() first" if hasattr(data, "collect") else ""
    raise DataError(
        f"data of type {type(data).__module__}.{type(data).__qualname__} cannot be read{hint}; pass a pandas "
        "or polars DataFrame, an Arrow table, or the path of a Parquet or CSV file or folder"
    )


def _as_table(data: object) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    try:
        return pa.table(data)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"data of type {type(data).__module__}.{type(data).__qualname__} cannot be read as a table: {error}"
        ) from error


def _of_pandas(frame: pd.DataFrame, columns: Sequence[str] | None) -> pd.DataFrame:
    names = list(frame.columns) if columns is None else list(columns)
    check_columns(names, list(frame.columns))
    # Column by column: selecting several at once copies them all.
    series = {name: frame[name] for name in names}
    return pd.DataFrame(series, index=frame.index, columns=pd.Index(names, dtype=object), copy=False)


def of_arrow(table: pa.Table, columns: Sequence[str] | None) -> pd.DataFrame:
    """An Arrow table's columns, all of them or those named, in pandas' types; see `read_columns`."""
    names = list(table.column_names) if columns is None else list(columns)
    check_columns(names, table.column_names)
    table = table.select(names)
    series = {name: _column(table.column(i), table.schema.field(i)) for i, name in enumerate(names)}
    return pd.DataFrame(series, index=pd.RangeIndex(table.num_rows), columns=pd.Index(names), copy=False)


def _column(column: pa.ChunkedArray, field: pa.Field) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _categorical(column, field)
    if pa.types.is_string_view(kind):
        column = column.cast(pa.large_string())
    if pa.types.is_integer(kind) and column.null_count:
        return column.to_pandas(types_mapper=_nullable_integer)
    if pa.types.is_boolean(kind) and column.null_count:
        return column.to_pandas(types_mapper=lambda _: pd.BooleanDtype())
    return column.to_pandas()


def _categorical(column: pa.ChunkedArray, field: pa.Field) -> pd.Series:
    kind = column.type
    if pa.types.is_string_view(kind.value_type):
        # polars exports string views, which Arrow can neither unify nor hand to pandas in a dictionary.
        chunks = [
            pa.DictionaryArray.from_arrays(
                c.indices, c.dictionary.cast(pa.large_string()), ordered=kind.ordered
            )
            for c in column.chunks
        ]
        column = pa.chunked_array(chunks, pa.dictionary(kind.index_type, pa.large_string(), kind.ordered))
    series = column.unify_dictionaries().to_pandas()
    if any(key in (field.metadata or {}) for key in _POLARS_CATEGORICAL):
        series = series.cat.reorder_categories(series.cat.categories.sort_values(), ordered=False)
    return series


def _nullable_integer(kind: pa.DataType) -> pd.api.extensions.ExtensionDtype:
    return pd.array([], dtype=str(kind).replace("uint", "UInt").replace("int", "Int")).dtype


def _of_path(path: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    files = parquet_files(path)
    if files is not None:
        return _of_parquet(path, files, columns)
    files = _data_files(path)
    parts = [_of_csv(file, columns) for file in files]
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def _data_files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.is_file() and f.name[0] not in "._")
        kept = [f for f in files if f.name.lower().endswith(_PARQUET + _CSV)]
    else:
        files = kept = [path]
    if not kept or not kept[0].name.lower().endswith(_PARQUET + _CSV):
        raise DataError(
            f"'{path}' is not, and holds no, Parquet or CSV file; names must end in "
            f"{', '.join(_PARQUET + _CSV)}"
        )
    if len({_is_parquet(f) for f in kept}) > 1:
        raise DataError(f"folder '{path}' holds both Parquet and CSV files; keep one kind")
    return kept


def _is_parquet(file: Path) -> bool:
    return file.name.lower().endswith(_PARQUET)


def parquet_files(data: object) -> list[Path] | None:
    """The Parquet files that `data` stands for; None where it is anything else.

    Raises
    ------
    DataError
        It is a path, but there is nothing, or nothing that can be read.
    """
    if not isinstance(data, str | Path):
        return None
    path = Path(data)
    if not path.exists():
        raise DataError(f"there is no file or folder '{path}'")
    files = _data_files(path)
    return files if _is_parquet(files[0]) else None


def open_parquet(path: Path, files: Sequence[Path]) -> Dataset:
    """Parquet files, and the columns that folder names such as ``year=2020`` hold, as one data set."""
    import pyarrow.dataset as ds

    names = [str(f) for f in files]
    return ds.dataset(names, format="parquet", partition_base_dir=str(path), partitioning="hive")


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Errors of Arrow as a `DataError` that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"'{path}' cannot be read as Parquet: {error}") from error


def _of_parquet(path: Path, files: Sequence[Path], columns: Sequence[str] | None) -> pd.DataFrame:
    with parquet_errors(path):
        dataset = open_parquet(path, files)
        names = list(dataset.schema.names) if columns is None else list(columns)
        check_columns(names, dataset.schema.names)
        table = dataset.to_table(columns=names)
    return of_arrow(table, names)


def _of_csv(file: Path, columns: Sequence[str] | None) -> pd.DataFrame:
    separator = "\t" if ".tsv" in file.name.lower() else ","
    try:
        header = list(pd.read_csv(file, sep=separator, nrows=0).columns)
        names = header if columns is None else list(columns)
        check_columns(names, header)
        frame = pd.read_csv(file, sep=separator, usecols=names, low_memory=False)
        return cast(pd.DataFrame, frame[names])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"'{file}' cannot be read as CSV: {error}") from error


def check_columns(wanted: Sequence[str], there: Sequence[object]) -> None:
    """Raise `DataError`, with names that look alike, unless each wanted column is there, and once."""
    names = [str(name) for name in there]
    for name in wanted:
        if name not in there:
            close = difflib.get_close_matches(str(name), names, n=3)
            hint = (
                f"did you mean {' or '.join(repr(c) for c in close)}?"
                if close
                else f"there are: {_some(names)}"
            )
            raise DataError(f"the data have no column '{name}'; {hint}")
        if list(there).count(name) > 1:
            raise DataError(f"the data have several columns called '{name}'; rename all but one")


def _some(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")
