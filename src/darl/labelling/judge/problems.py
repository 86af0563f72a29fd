"""The errors of the judge: each says what the endpoint did, and what of the work is kept."""

from __future__ import annotations

from darl.labelling.problems import LabellingError

KEPT = "the answers so far are kept: the same command goes on"


class JudgeError(LabellingError):
    """The judge cannot work: a setting does not fit, or the endpoint does not do what it should."""


class KeyRefusedError(JudgeError):
    """The endpoint takes no request with this key (HTTP 401 or 403)."""


class NoSuchModelError(JudgeError):
    """The endpoint knows no such address or model (HTTP 404)."""


class UnreachableError(JudgeError):
    """Nothing answers at the endpoint, or it fails again and again."""


class QuotaError(JudgeError):
    """The account may send no more requests: its credit is used up (HTTP 402), or a long pause is asked for."""


class RequestRefusedError(JudgeError):
    """The endpoint refuses the form of the requests (HTTP 400, 422), whatever the pair."""


class BudgetError(JudgeError):
    """The next request might cost more than the budget allows."""


class DisagreementError(JudgeError):
    """The judge agrees with the gold labels less than was asked for; no label was written."""
