"""Every error and warning that mixedfx raises on purpose.

A message names the culprit (column, level, setting), says what was expected, and what to do.
"""

from __future__ import annotations

from typing import Any


class MixedfxError(Exception):
    """Base of every error the package raises on purpose."""


class FormulaError(MixedfxError, ValueError):
    """The formula cannot be read, or asks for something that formulas may not do."""


class DataError(MixedfxError, ValueError):
    """The data do not fit the formula or the family."""


class VarCorrError(MixedfxError, ValueError):
    """A covariance is missing, unknown, mislabelled or not positive semidefinite."""


class SettingError(MixedfxError, ValueError):
    """An argument or a job setting has a value that is not allowed."""


class NotFreezableError(MixedfxError, RuntimeError):
    """The covariances of stage 1 are not trustworthy enough to be frozen (pass force=True to go on).

    Attributes
    ----------
    result
        What stage 1 learned all the same (a `CovarianceResult`, draws included), where there is one, else None.
    """

    def __init__(self, message: str, result: object = None) -> None:
        super().__init__(message)
        self.result: Any = result


class ConvergenceError(MixedfxError, RuntimeError):
    """A computation could not be carried to an answer at all."""


class ResourceError(MixedfxError, MemoryError):
    """The machine has not enough memory for what was asked."""


class MissingExtraError(MixedfxError, ImportError):
    """An optional library is needed and not installed."""


class DownloadError(MixedfxError, OSError):
    """A data set could not be fetched."""


class MixedfxWarning(UserWarning):
    """Base of every warning the package gives on purpose."""


class DroppedRowsWarning(MixedfxWarning):
    """Rows with missing values were left out."""


class CollinearWarning(MixedfxWarning):
    """Fixed-effect columns were dropped because others determine them."""


class ConvergenceWarning(MixedfxWarning):
    """A result is usable but the computation did not fully converge."""


class SubsampleWarning(MixedfxWarning):
    """A subsample is drawn as asked, but its covariances will be off, or less certain than wanted."""
