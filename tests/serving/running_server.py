"""A `darl serve` process of its own on a free port of this machine, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
PATIENCE = 480.0  # a busy machine imports torch slowly; a server that has ended is not waited for
# Bounds of the server's that a busy machine would break; what a test says itself counts more.
BOUNDS = {"DEADLINE_SECONDS": PATIENCE, "WORKER_TIMEOUT_SECONDS": PATIENCE, "MAX_WAIT_SECONDS": PATIENCE,
          "DRAIN_SECONDS": PATIENCE}  # fmt: skip


class RunningServer:
    """The process, its address, its log, and calls to it."""

    def __init__(self, model: Path, *arguments: object, poisonable: bool = False, key: str | None = None) -> None:
        entry = [str(HERE / "poisonable_server.py")] if poisonable else ["-m", "darl.cli.main"]
        paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
        # one worker, unless a test asks for more: each imports torch
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "DARL_SERVE_WORKERS": "1"}
        environment |= {f"DARL_SERVE_{name}": str(value) for name, value in BOUNDS.items()}
        self.process = subprocess.Popen(
            [sys.executable, *entry, "serve", str(model), "--port", "0", *map(str, arguments)],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, encoding="utf-8", env=environment,
        )  # fmt: skip
        self.lines: list[dict[str, Any]] = []
        self.other: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = self._wait_for(lambda: next((line["url"] for line in self.lines if "url" in line), None), "a url")
        self.client = httpx.Client(base_url=self.url, timeout=PATIENCE, headers=headers, trust_env=False)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.other.append(line)

    def _wait_for(self, look: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if (found := look()) is not None:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {what}; the server said {self.lines[-5:]} {self.other[-20:]}")

    def wait_ready(self, seconds: float = PATIENCE) -> RunningServer:
        self._wait_for(lambda: True if self.client.get("/health").status_code == 200 else None, "ready", seconds)
        return self

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.client.post(path, json=body, **options)

    def worker_pids(self) -> list[int]:
        """The processes that the server started, the oldest first."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return sorted(int(pid) for pid in found)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]

    def wait_event(self, name: str, count: int = 1, seconds: float = PATIENCE) -> None:
        self._wait_for(lambda: True if len(self.events(name)) >= count else None, name, seconds)

    def finish_reading(self) -> None:
        """The log to its end, once the process has ended."""
        self._reader.join(PATIENCE)

    def stop(self, seconds: float = PATIENCE) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.client.close()


@contextlib.contextmanager
def serving(model: Path, *arguments: object, **options: Any) -> Iterator[RunningServer]:
    """A server that is ready, and is stopped afterwards."""
    server = RunningServer(model, *arguments, **options)
    try:
        yield server.wait_ready()
    finally:
        server.stop()
