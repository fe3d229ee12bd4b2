"""Checks of arguments that many functions take."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from pathlib import Path

from mixedfx.errors import SettingError


def check_whole_number(name: str, value: object, least: int) -> None:
    """Raise `SettingError` unless `value` is a whole number, at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise SettingError(f"{name} is {value!r}; it must be a whole number, at least {least}")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise `SettingError` unless `value` is one of some texts."""
    available = list(choices)
    if not isinstance(value, str) or value not in available:
        raise SettingError(f"{name} is {value!r}; available: {', '.join(map(repr, available))}")


def check_flag(name: str, value: object) -> None:
    """Raise `SettingError` unless `value` is True or False."""
    if not isinstance(value, bool):
        raise SettingError(f"{name} is {value!r}, but must be True or False")


def as_folder(value: object) -> Path:
    """The folder that `value` names; raises `SettingError` for what names none."""
    if not isinstance(value, str | Path) or not str(value):
        raise SettingError(f"folder is {value!r}; it must be a path, such as 'runs/covariance'")
    return Path(value)
