"""Refusal: why a request gets no scores, in words that every dialect can put into its own error shape."""

from __future__ import annotations

from typing import Literal

Kind = Literal[
    "unreadable", "invalid", "empty", "too_large", "too_many", "no_key", "slow_body",
    "overloaded", "draining", "not_ready", "deadline", "worker_died", "unscorable", "client_gone", "defect",
]  # fmt: skip

STATUS: dict[Kind, int] = {
    "unreadable": 400,  # not JSON
    "invalid": 422,  # JSON of a wrong shape
    "empty": 422,  # nothing to score
    "too_large": 413,  # bytes of the body
    "too_many": 422,  # documents, or characters of one
    "no_key": 401,
    "slow_body": 408,
    "overloaded": 429,  # the queue is full
    "draining": 503,  # shutting down
    "not_ready": 503,  # no model has scored a probe yet
    "deadline": 503,
    "worker_died": 503,
    "unscorable": 422,  # the model fails on this very input
    "client_gone": 499,  # nobody is there to read it
    "defect": 500,
}
RETRY = {"overloaded": 1, "draining": 5, "not_ready": 2, "deadline": 5, "worker_died": 2}  # seconds


class Refusal(Exception):  # noqa: N818 (an answer that the server means to give)
    """A request that is refused or given up.

    Args:
        kind: decides the status.
        what: what was wrong, for the caller to read.
        where: the field of the body, as in ``documents[3]``.
        retry_after: seconds after which to try again; default by kind.

    >>> Refusal("invalid", "must be a text", where="query").message
    'query: must be a text'
    """

    def __init__(self, kind: Kind, what: str, *, where: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(what)
        self.kind: Kind = kind
        self.what, self.where = what, where
        self.retry_after = RETRY.get(kind) if retry_after is None else retry_after

    @property
    def status(self) -> int:
        return STATUS[self.kind]

    @property
    def message(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what
