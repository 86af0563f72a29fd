"""Text that is safe for tokenizers, and the normal form that makes two queries the same query."""

from __future__ import annotations

import re
import unicodedata

# A lone surrogate cannot be encoded as UTF-8 and a NUL ends a C string: both make tokenizers fail or
# cut the text. The replacement character keeps the text's length and shows that something was there.
_UNSAFE = re.compile("[\x00\ud800-\udfff]")


def clean_text(value: str) -> str:
    """The same text with every lone surrogate and NUL replaced by U+FFFD; a safe text is returned as it is.

    >>> clean_text("a\\x00b\\ud800c")
    'a\ufffdb\ufffdc'
    """
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", value)


def normalise_query(text: str) -> str:
    """The identity of a query: compatibility forms and case are folded, white space is squeezed.

    Two texts with the same normal form are one query for splits, the leak guard and the bootstrap.
    The function is idempotent. It follows Unicode's compatibility caseless matching (Unicode Standard,
    section 3.13, D146), composed at the end.

    >>> normalise_query("  Café\\tＬＥＤ  Straße ")
    'café led strasse'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFD", text).casefold()
        # Compatibility forms can hide capitals (ℌ → H), so case is folded once more.
        text = unicodedata.normalize("NFKD", text).casefold()
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())
