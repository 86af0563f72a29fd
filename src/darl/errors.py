"""Named errors for people: each says what is wrong, where, and the mend.

Every error that a user can cause derives from :class:`DarlError`; the command line prints it in a
few lines and exits with its ``exit_code``. Anything else that escapes is a defect of darl itself.
"""

from __future__ import annotations


class DarlError(Exception):
    """What went wrong, where, and how to mend it.

    Args:
        what: one sentence, what is wrong.
        where: the file, line, column, key or split concerned.
        mend: what the user can do about it.

    >>> print(DarlError("column 'label' is missing", where="pairs.csv", mend="name it under `columns:`"))
    pairs.csv: column 'label' is missing
      mend: name it under `columns:`
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object | None = None, mend: str | None = None) -> None:
        self.what, self.where, self.mend = what, None if where is None else str(where), mend
        head = f"{self.where}: {what}" if self.where else what
        super().__init__(head + (f"\n  mend: {mend}" if mend else ""))


class DataError(DarlError):
    """A table of pairs cannot be used as it is."""


class MissingColumnError(DataError):
    """A table lacks a column that is needed."""


class BadRowsError(DataError):
    """Rows of a table are unusable; every one of them (up to a limit) is listed with its number."""


class EmptySplitError(DataError):
    """A split holds no pair after filtering."""


class MissingGradeError(DataError):
    """A split lacks a grade that the scale has, and the step needs every grade."""


class LeakError(DataError):
    """An evaluation query also stands in training data or among the picked pairs."""


class GradeError(DataError):
    """A label outside the grade scale, or a scale that cannot be one."""


class RecipeError(DarlError):
    """The recipe has an unknown key, a wrong value, or parts that do not fit together."""


class ModelError(DarlError):
    """A model folder is missing, incomplete or corrupt, or cannot do what was asked of it."""


class BackboneError(ModelError):
    """A backbone cannot be found, fetched or verified."""


class RunError(DarlError):
    """A run folder cannot be used: it belongs to another recipe, or another process is writing it."""


class DivergedError(RunError):
    """Tuning ended in a model that says nothing: its loss was no finite number."""


class LabelsAwaitedError(DarlError):
    """A round has picked pairs to label and waits for their labels: nothing is wrong, somebody has work to do.

    Args:
        picked: the file of the pairs to label. labelled: where their labels are looked for.
        commands: what labels them.
    """

    exit_code = 3

    def __init__(
        self, what: str, *, where: object, mend: str, picked: str, labelled: str, commands: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.picked, self.labelled, self.commands = picked, labelled, commands


class StorageError(DarlError):
    """The disk is full or the folder cannot be written."""


class MissingExtraError(DarlError):
    """An optional package is needed for this step and not installed."""
