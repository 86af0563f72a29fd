"""API keys: ``Authorization: Bearer KEY`` (or ``ApiKey``, ``Token``, or ``X-API-Key``), compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator

SCHEMES = ("bearer", "apikey", "token")


class KeyRing:
    """The keys that open a server; with none of them, it is open.

    >>> ring = KeyRing(["s3cret"])
    >>> ring.opens([(b"authorization", b"Bearer s3cret")]), ring.opens([(b"authorization", b"Bearer s3cre")])
    (True, False)
    >>> KeyRing([]).opens([])
    True
    """

    def __init__(self, keys: Iterable[str]) -> None:
        # Digests are of one length, so that the comparison does not tell how long a key is.
        self._digests = [hashlib.sha256(key.encode("utf-8")).digest() for key in keys]

    @property
    def open(self) -> bool:
        return not self._digests

    def opens(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request with these headers (names in lower case) may pass."""
        if self.open:
            return True
        found = False
        for key in _keys_in(headers):  # a proxy may send one of its own beside the client's
            given = hashlib.sha256(key).digest()
            for digest in self._digests:  # every key is compared, whichever fits
                found |= hmac.compare_digest(given, digest)
        return found


def _keys_in(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in headers:
        if name == b"x-api-key":
            yield value.strip()
        elif name == b"authorization":
            scheme, _, key = value.strip().partition(b" ")
            yield key.strip() if scheme.decode("latin-1").lower() in SCHEMES else scheme
