"""A server that speaks the chat-completions protocol as a test wants it, and small jobs for the judge."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from darl import GradeScale, PairTable
from darl.labelling.judge import Judged, judge_pairs

SCALE = GradeScale(("irrelevant", "weak", "strong"))
MODEL = "tiny-judge"


@dataclass
class Asked:
    """One request as it arrived: which it was (from 0), its headers in lower case, its JSON, and the pair in it."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def pair(self) -> dict[str, str]:
        lines = self.body["messages"][-1]["content"].split("\n")
        return json.loads(next(line for line in lines if line.startswith('{"query"')))


@dataclass
class Told:
    """What the server does: an answer by its text, or another status or body; after a pause; or it hangs up."""

    text: str | None = None
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    hang_up: bool = False
    tokens: tuple[int, int] | None = (100, 10)
    finish: str = "stop"

    def bytes(self, model: str) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if self.body is not None:
            return json.dumps(self.body).encode()
        found: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model}
        message = {"role": "assistant", "content": self.text, "refusal": None}
        found["choices"] = [{"index": 0, "message": message, "finish_reason": self.finish, "logprobs": None}]
        if self.tokens is not None:
            sent, answered = self.tokens
            usage = {"prompt_tokens": sent, "completion_tokens": answered, "total_tokens": sent + answered}
            found["usage"] = usage
        return json.dumps(found).encode()


def error(status: int, message: str, **more: Any) -> Told:
    """An error as OpenAI words them."""
    headers = more.pop("headers", {})
    return Told(status=status, headers=headers, body={"error": {"message": message, "type": "error", **more}})


class ChatServer:
    """Listens on a port of its own; ``behave`` is asked what to do with each request."""

    def __init__(self, behave: Callable[[Asked], Told]) -> None:
        self.behave, self.asked, self.at_once, self.most_at_once = behave, [], 0, 0
        self.times: list[float] = []
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # headers and body are two packets

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with lock:
                    asked = Asked(len(outer.asked), self.path, headers, json.loads(raw))
                    outer.asked.append(asked)
                    outer.times.append(time.monotonic())
                    outer.at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer.at_once)
                try:
                    told = outer.behave(asked)
                    if told.after:
                        time.sleep(told.after)
                finally:
                    with lock:  # before it answers: the client may send its next request at once
                        outer.at_once -= 1
                if told.hang_up:
                    # a reset, as when a proxy or the server dies
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.close_connection = True
                    self.connection.close()
                    return
                data = told.bytes(asked.body.get("model", ""))
                with contextlib.suppress(OSError):  # the client has gone
                    self.send_response(told.status)
                    for name, value in {"Content-Type": "application/json", **told.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

            def finish(self) -> None:
                with contextlib.suppress(OSError):
                    super().finish()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def serving(*script: Told | Callable[[Asked], Told]) -> Iterator[ChatServer]:
    """A server that plays a script, one entry a request, and the last one for all that follow."""

    def behave(asked: Asked) -> Told:
        step = script[min(asked.number, len(script) - 1)]
        return step if isinstance(step, Told) else step(asked)

    with ChatServer(behave) as server:
        yield server


def grade_of(pair: dict[str, str]) -> int:
    """The true grade of the pairs of this world: it stands at the end of the item."""
    return int(pair["item"].rsplit(" ", 1)[1])


def says(grade: int | str) -> Told:
    """An answer with this grade, by JSON."""
    return Told(json.dumps({"grade": SCALE.names[grade] if isinstance(grade, int) else grade}))


def right(asked: Asked) -> Told:
    """The true grade."""
    return says(grade_of(asked.pair))


def some_pairs(n: int, prefix: str = "query", graded: bool = False, **columns: Any) -> PairTable:
    """n pairs of n / 2 queries; the item ends in the true grade."""
    grades = [i % 3 for i in range(n)]
    items = [f"{prefix} item {i} of grade {grade}" for i, grade in enumerate(grades)]
    return PairTable.from_pairs([f"{prefix} {i // 2}" for i in range(n)], items, grades if graded else None, **columns)


def run(server: ChatServer, folder: Path, pairs: PairTable | int = 6, gold: PairTable | int = 3, **more: Any) -> Judged:
    """A job against a server; its files lie in ``folder``."""
    table = some_pairs(pairs) if isinstance(pairs, int) else pairs
    golden = (some_pairs(gold, "gold", graded=True) if gold else None) if isinstance(gold, int) else gold
    given: dict[str, Any] = {"cache": folder / "cache.sqlite", "scale": SCALE, "model": MODEL, **more}
    given.setdefault("unmeasured", golden is None)
    given["settings"] = {"concurrency": 2, "timeout": 5.0, **given.get("settings", {})}
    return judge_pairs(table, endpoint=server.url, gold=golden, **given)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off in hundredths of a second."""
    from darl.labelling.judge import waiting

    monkeypatch.setattr(waiting, "FIRST_WAIT", 0.01)
