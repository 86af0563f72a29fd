"""Small labelling projects, a clock that a test moves, and servers: in a thread, or as the command in a process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from darl import GradeScale, PairTable
from darl.labelling import Database, open_project
from darl.labelling.answering import record
from darl.labelling.page import label_app
from darl.labelling.project import Project
from darl.labelling.queue import Task, next_task

SCALE = GradeScale(("irrelevant", "weak", "strong"))


class Clock:
    """Seconds since 1970 that pass when the test says so."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        self.time += 0.001  # no two answers at one time
        return self.time


def some_pairs(n: int, prefix: str = "query", **columns: Any) -> PairTable:
    return PairTable.from_pairs([f"{prefix} {i}" for i in range(n)], [f"item {i}" for i in range(n)], **columns)


def gold_pairs(n: int) -> PairTable:
    return PairTable.from_pairs(
        [f"gold {i}" for i in range(n)], [f"item {i}" for i in range(n)], [i % 3 for i in range(n)]
    )


def begin(
    target: str | Path, pairs: PairTable | int = 10, *, gold: int = 0, now: Any = None, **settings: Any
) -> Project:
    """A project on the scale irrelevant, weak, strong; without hidden checks unless the test asks for them."""
    table = some_pairs(pairs) if isinstance(pairs, int) else pairs
    given = {"gold_share": 0.0, "repeat_share": 0.0, **settings}
    clock = {} if now is None else {"now": now}
    golden = gold_pairs(gold) if gold else None
    return open_project(Database(target, create=True), table, scale=SCALE, gold=golden, settings=given, **clock)


def answer(project: Project, annotator: int, grade: int | None = 1, **more: Any) -> Task | None:
    """Answers the annotator's next pair and returns it; None where there is none."""
    task = next_task(project, annotator)
    if task is not None:
        outcome = more.pop("outcome", "grade")
        record(project, annotator, task.token, outcome, grade=grade if outcome == "grade" else None, **more)
    return task


@contextlib.contextmanager
def in_thread(project: Project, **app: Any) -> Iterator[str]:
    """The page of a project, served by uvicorn in a thread; its address."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(label_app(project, **app), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(timeout=20)
            project.database.close()


class Command:
    """`darl label …` as a process of its own."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "darl", "label", *map(str, arguments)]
        paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if line.startswith("label at "):
                self.url = line.split()[2]
                return
        raise AssertionError(f"the server did not start: {self.said}")

    @property
    def port(self) -> int:
        return int(self.url.split("#")[0].rstrip("/").rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL: no time to tidy up."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


def call(url: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """One call of the page's interface: status and JSON."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"X-Darl": "label", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(url.split("#")[0] + path, data=data, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text
