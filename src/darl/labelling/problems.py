"""The errors of labelling."""

from __future__ import annotations

from darl.errors import DarlError


class LabellingError(DarlError):
    """Labelling cannot go on: the database is not there or is another project's, or the settings do not fit."""


class LeaseGoneError(LabellingError):
    """The pair was answered, taken back or handed out anew since the page showed it."""
