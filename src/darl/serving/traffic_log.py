"""TrafficLog: a sample of what was served, as Parquet files that `darl drift` and `darl select` read.

A file is whole or absent, at most ``rows`` long, and the oldest go when the folder grows too large. The log
never stands in the way of an answer: rows that cannot be written are counted and dropped.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from darl.errors import StorageError
from darl.pairs.text import clean_text
from darl.serving.facts import ModelFacts, PairScore
from darl.serving.metrics import Metrics
from darl.serving.settings import LOGGED_COLUMNS, ServeSettings
from darl.storage import atomic_file, storage_errors

log = logging.getLogger("darl.serving")

TYPES = (
    pa.timestamp("us", tz="UTC"), pa.string(), pa.string(), pa.string(), pa.string(), pa.string(), pa.int8(),
    pa.list_(pa.float32()), pa.float32(), pa.float32(), pa.float32(), pa.string(), pa.string(), pa.float32(),
)  # fmt: skip
SCHEMA = pa.schema(list(zip(LOGGED_COLUMNS, TYPES, strict=True)))
HELD_FILES = 4  # buffers of this many files are held while the disk does not answer; what comes then is dropped


@dataclass(frozen=True)
class Served:
    """One answered request, as it is logged."""

    request_id: str
    dialect: str
    queries: Sequence[str]
    items: Sequence[str]
    rows: Sequence[PairScore]
    facts: ModelFacts
    latency_ms: float
    columns: Mapping[str, str] = field(default_factory=dict)


class TrafficLog:
    """Buffers rows and writes them off the serving path.

    Args:
        settings: folder, texts or hashes, bounds.
        metrics: rows written and dropped are counted there.

    Raises:
        StorageError: the folder cannot be made or written.
    """

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        assert settings.traffic_log is not None
        self.folder, self.settings, self.metrics = settings.traffic_log.expanduser(), settings, metrics
        salt = settings.traffic_salt
        self._salt = salt.get_secret_value().encode() if salt is not None else b""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        self.schema = SCHEMA
        for name in settings.traffic_columns:
            self.schema = self.schema.append(pa.field(name, pa.string()))
        self._buffer: list[tuple] = []
        self._lock = threading.Lock()  # of the buffer
        self._writing = threading.Lock()  # of the folder
        self._numbers = itertools.count()
        self._stop, self._full = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic-log", daemon=True)
        self._thread.start()

    def note(self, served: Served) -> None:
        """Take a request in; returns at once."""
        rows = [self._row(served, at) for at in range(len(served.rows))]
        with self._lock:
            if len(self._buffer) >= HELD_FILES * self.settings.traffic_rows:
                self.metrics.logged.labels("dropped").inc(len(rows))
                return
            self._buffer += rows
            if len(self._buffer) >= self.settings.traffic_rows:
                self._full.set()

    def close(self) -> None:
        """Write what is buffered, and stop."""
        self._stop.set()
        self._full.set()
        self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Write every buffered row; on a disk that refuses, keep them for the next time."""
        with self._writing:
            while True:
                with self._lock:
                    rows = self._buffer[: self.settings.traffic_rows]
                if not rows:
                    return
                try:
                    self._write(rows)
                except (StorageError, OSError, pa.ArrowException) as error:
                    log.error("the traffic log cannot be written", extra={"facts": {"error": str(error)}})
                    return
                with self._lock:
                    del self._buffer[: len(rows)]
                self.metrics.logged.labels("written").inc(len(rows))
                try:
                    self._bound()
                except OSError as error:
                    log.error("the traffic log cannot be bounded", extra={"facts": {"error": str(error)}})

    def _run(self) -> None:
        while not self._stop.is_set():
            self._full.wait(self.settings.traffic_seconds)
            self._full.clear()
            if not self._stop.is_set():
                try:
                    self.flush()
                except Exception:  # were this thread to end, nothing would be logged any more, and nobody would know
                    log.exception("the traffic log cannot be written")
                with self._lock:
                    stuck = len(self._buffer) >= self.settings.traffic_rows
                if stuck:  # a disk that refuses is not asked without a pause
                    self._stop.wait(min(5.0, self.settings.traffic_seconds))

    def _write(self, rows: list[tuple]) -> None:
        columns = list(zip(*rows, strict=True))
        table = pa.table(
            [pa.array(column, one.type) for column, one in zip(columns, self.schema, strict=True)], schema=self.schema
        )
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        name = f"traffic-{stamp}-{os.getpid()}-{next(self._numbers)}.parquet"
        with atomic_file(self.folder / name) as scratch:
            pq.write_table(table, scratch, compression="zstd")

    def _bound(self) -> None:
        sizes: dict[Path, int] = {}
        for path in sorted(self.folder.glob("traffic-*.parquet")):  # the names begin with the time
            with contextlib.suppress(FileNotFoundError):  # somebody else took it away
                sizes[path] = path.stat().st_size
        excess = sum(sizes.values()) - self.settings.traffic_max_bytes
        for path in list(sizes)[:-1]:  # the newest stays, however large
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= sizes[path]

    def _row(self, served: Served, at: int) -> tuple:
        query, item, row = clean_text(served.queries[at]), clean_text(served.items[at]), served.rows[at]
        plain = self.settings.traffic_texts == "plain"
        return (
            datetime.fromtimestamp(time.time(), UTC),
            served.request_id,
            query if plain else None,
            item if plain else None,
            self._hash(query),
            self._hash(item),
            row.grade,
            row.probabilities,
            row.relevance,
            row.ood_score,
            row.ood_percentile,
            served.facts.version,
            served.dialect,
            served.latency_ms,
            *(served.columns.get(name) for name in self.settings.traffic_columns),
        )

    def _hash(self, text: str) -> str:
        return text_hash(text, self._salt)


def text_hash(text: str, salt: bytes = b"") -> str:
    """32 hex digits of SHA-256, or of HMAC-SHA-256 where there is a salt.

    >>> text_hash("cat insurance")[:8], text_hash("cat insurance", b"salt")[:8]
    ('02395a17', '3b4194a1')
    """
    data = text.encode("utf-8")
    return (hmac.new(salt, data, "sha256") if salt else hashlib.sha256(data)).hexdigest()[:32]
