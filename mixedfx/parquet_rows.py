"""Parquet files of which only some rows are read: row groups without a wanted row are left alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mixedfx.frames import check_columns, of_arrow, open_parquet, parquet_errors, parquet_files

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset, ParquetFileFragment


@dataclass(frozen=True, eq=False)
class ParquetRows:
    """Rows of a Parquet file or folder, in the order in which `mixedfx.frames.read_columns` has them.

    Attributes
    ----------
    path
        The file or folder.
    dataset
        Its files as one.
    groups
        Its row groups.
    starts
        Position of each group's first row, and behind them the number of all rows.
    """

    path: Path
    dataset: Dataset
    groups: tuple[ParquetFileFragment, ...]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, data: object) -> ParquetRows | None:
        """`data` opened, where it is a path to Parquet; else None. Of the rows nothing is read."""
        files = parquet_files(data)
        if files is None:
            return None
        path = Path(str(data))
        with parquet_errors(path):
            dataset = open_parquet(path, files)
            groups = tuple(g for f in dataset.get_fragments() for g in f.split_by_row_group())
            sizes = [g.row_groups[0].num_rows for g in groups]
        return cls(path, dataset, groups, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]))

    @property
    def n_rows(self) -> int:
        return int(self.starts[-1])

    def numeric(self, column: str) -> bool:
        """Whether a column holds integers or floating-point numbers."""
        kind = self.dataset.schema.field(column).type
        return pa.types.is_integer(kind) or pa.types.is_floating(kind)

    def complete(self, column: str) -> bool:
        """Whether the files' own statistics say that no value is missing: for integers without nulls."""
        if not pa.types.is_integer(self.dataset.schema.field(column).type):
            return False  # NaN is not counted among the nulls
        for group in self.groups:
            own = group.metadata.row_group(group.row_groups[0].id)
            known = {own.column(i).path_in_schema: own.column(i).statistics for i in range(own.num_columns)}
            found = known.get(column)
            if found is None or not found.has_null_count or found.null_count:
                return False
        return True

    def parts(self, columns: Sequence[str]) -> Iterator[tuple[int, pd.DataFrame]]:
        """All values of some columns, one column of one row group at a time, with the position of its first row."""
        with parquet_errors(self.path):
            # Group by group and column by column: a scan of all of them reads ahead, hundreds of megabytes.
            for group, start in zip(self.groups, self.starts, strict=False):
                for name in columns:
                    yield int(start), of_arrow(self._read(group, [name]), [name])

    def take(self, rows: NDArray[np.int64], columns: Sequence[str]) -> pd.DataFrame:
        """Some rows, by rising positions, which are the index of the frame."""
        check_columns(columns, self.dataset.schema.names)
        edges = np.searchsorted(rows, self.starts)
        parts = []
        with parquet_errors(self.path):
            for i, group in enumerate(self.groups):
                own = rows[edges[i] : edges[i + 1]] - self.starts[i]
                if len(own):
                    parts.append(self._read(group, columns).take(pa.array(own)))
        frame = of_arrow(pa.concat_tables(parts), columns)
        return frame.set_axis(pd.Index(rows), axis=0)

    def _read(self, group: ParquetFileFragment, columns: Sequence[str]) -> pa.Table:
        return group.to_table(schema=self.dataset.schema, columns=list(columns), use_threads=False)
