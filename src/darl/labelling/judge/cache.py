"""The answers on disk: each is written the moment it comes, so that a killed job pays for none of them twice."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from darl.errors import StorageError
from darl.labelling.judge.endpoint import Reply

FORMAT = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT NOT NULL,          -- of endpoint, model, settings, prompt, pair and sample
    attempt INTEGER NOT NULL,   -- 0, and from 1 on where the answers before it named no grade
    content TEXT NOT NULL,
    finish TEXT,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    created REAL NOT NULL,      -- seconds since 1970
    PRIMARY KEY (key, attempt)
) WITHOUT ROWID
"""


@dataclass(frozen=True)
class Stored:
    """An answer of the cache, and when it came."""

    reply: Reply
    created: float


class AnswerCache:
    """Answers by key, in an SQLite file; use as a context manager.

    Several processes may share a file: what one has paid for the other finds.

    Raises:
        StorageError: the file cannot be written, is damaged, or is something else.

    >>> import tempfile
    >>> with AnswerCache(Path(tempfile.mkdtemp()) / "a.sqlite") as cache:
    ...     _ = cache.put("key", 0, Reply("strong"))
    ...     cache.get("key")[0].reply.content
    'strong'
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._named_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, FORMAT):
                raise StorageError(f"the cache is of format {version}, this darl reads {FORMAT}", where=self.path)
            # A killed process loses nothing that was committed; only a power cut may take the last few answers.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute(_TABLE)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, key: str) -> list[Stored]:
        """The answers under a key, by attempt."""
        with self._named_errors():
            found = self._connection.execute(
                "SELECT content, finish, prompt_tokens, completion_tokens, created FROM answers "
                "WHERE key = ? ORDER BY attempt",
                (key,),
            ).fetchall()
        return [Stored(Reply(*row[:4]), row[4]) for row in found]

    def put(self, key: str, attempt: int, reply: Reply) -> Stored:
        """Keeps an answer; one that another process has kept meanwhile stands."""
        row = (reply.content, reply.finish, reply.prompt_tokens, reply.completion_tokens, time.time())
        with self._named_errors():
            self._connection.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", (key, attempt, *row))
        return Stored(reply, row[-1])

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StorageError(
                f"the cache of answers cannot be used ({error})",
                where=self.path,
                mend="free the disk or the file, or name another one with --cache",
            ) from error
        except OSError as error:
            raise StorageError(
                f"no cache can be made ({error.strerror})", where=self.path, mend="name another --cache"
            ) from error
