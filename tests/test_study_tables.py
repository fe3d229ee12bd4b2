"""Tables of studies: what is run again replaces its own lines, and no others."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.results import add_to_config, read_config, read_table, write_table


def test_lines_with_the_same_keys_are_replaced(tmp_path: Path) -> None:
    file = tmp_path / "study" / "table.csv"
    assert read_table(file).empty
    first = [{"case": "a", "seed": 0, "value": 1.5}, {"case": "a", "seed": 1, "value": 2.0}]
    write_table(file, first, "%.3g", keys=("case", "seed"))
    write_table(file, [{"case": "b", "seed": 0, "value": 3.0}], "%.3g", keys=("case", "seed"))
    write_table(file, [{"case": "a", "seed": 1, "value": 4.0}], "%.3g", keys=("case", "seed"))
    expected = pd.DataFrame({"case": ["a", "b", "a"], "seed": [0, 0, 1], "value": [1.5, 3.0, 4.0]})
    pd.testing.assert_frame_equal(read_table(file), expected)
    write_table(file, [{"case": "a", "seed": 5, "value": 5.0}], "%.3g", keys=("case",))
    assert read_table(file).to_dict("list") == {"case": ["b", "a"], "seed": [0, 5], "value": [3.0, 5.0]}
    write_table(file, first, "%.3g")
    assert len(read_table(file)) == 2


def test_parts_of_the_configuration_stay(tmp_path: Path) -> None:
    add_to_config(tmp_path / "study", {"a": {"seeds": 1}})
    add_to_config(tmp_path / "study", {"b": {"seeds": 2}})
    assert read_config(tmp_path / "study") == {"a": {"seeds": 1}, "b": {"seeds": 2}}
