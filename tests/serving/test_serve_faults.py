"""Kills, reloads, corrupt folders, poison, clients that leave, SIGTERM: all on real processes, under load."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from running_server import PATIENCE, RunningServer

from darl.model import RelevanceModel

KEY = "a-key-of-the-tests"


class Load:
    """Clients that ask all the time, each with a connection of its own; every outcome is counted.

    Args:
        pause: seconds between a client's requests. Shorter, and on a machine that does other things besides the process
            that shall take over hardly gets to its imports.
    """

    def __init__(self, server: RunningServer, clients: int = 4, pause: float = 0.2) -> None:
        self.pause = pause
        self.outcomes: Counter[str] = Counter()
        self.versions: set[str] = set()
        self.nothing_new_from = float("inf")  # a request that begins later is not accepted any more
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._server = server
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        items = [f"client {number} item {row}" for row in range(1 + 9 * (number % 2))]
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=self._server.url, timeout=PATIENCE, headers=headers, trust_env=False) as client:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    reply = client.post("/v1/relevance", json={"query": "travel", "items": items, "ood": False})
                except httpx.ConnectError:
                    outcome = "not connected"  # never accepted: nothing is lost
                except httpx.HTTPError as error:
                    # the last door to close resets who stands in it, instead of saying 503
                    late = began > self.nothing_new_from
                    outcome = "not connected" if late else f"lost: {type(error).__name__}"
                else:
                    outcome = str(reply.status_code)
                    if reply.status_code == 200:
                        found = reply.json()
                        versions = {result["model_version"] for result in found["results"]}
                        with self._lock:
                            self.versions |= versions
                        if len(found["results"]) != len(items) or len(versions) != 1:
                            outcome = "a wrong answer"
                with self._lock:
                    self.outcomes[outcome] += 1
                time.sleep(self.pause if outcome == "200" else 0.05)


def ask(server: RunningServer, item: str = "yearly cover", **options: Any) -> httpx.Response:
    return server.post("/v1/relevance", {"query": "travel", "items": [item], "ood": False}, **options)


def save_other_version(folder: Path) -> None:
    """Put a model with other weights in the folder's place, as a fit would: written beside, then swapped."""
    model = RelevanceModel.from_pretrained(folder)
    model.divide_logits(2.0)
    model.save_pretrained(folder)


@pytest.mark.timeout(1800)  # five processes that import torch, one after another
def test_a_life(own_model: Path, tmp_path: Path) -> None:
    """One server's life: keys, a killed worker, reloads, a corrupt folder, and SIGTERM, all under load."""
    traffic = tmp_path / "traffic"
    keys = tmp_path / "keys"
    keys.write_text(f"# who may call\n{KEY}\n")
    server = RunningServer(
        own_model, "--api-keys-file", keys, "--traffic-log", traffic, "--traffic-columns", "shop",
        "traffic_seconds=3600", key=KEY,
    )  # fmt: skip
    try:
        server.wait_ready()
        check_keys(server)
        first = ask(server).json()
        check_killed_worker(server, first)
        check_reload(server, own_model, first["model_version"])
        check_corrupt_folder(server, own_model)
        served = check_sigterm(server)
    finally:
        server.stop()
    check_traffic(traffic, served)


def check_keys(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as stranger:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-API-Key": KEY + "x"}):
            for path in ("/v1/relevance", "/v2/rerank", "/rerank", "/score", "/admin/reload"):
                reply = stranger.post(path, json={}, headers=headers)
                assert reply.status_code == 401, path
                assert reply.headers["www-authenticate"] == "Bearer"
            assert stranger.get("/metrics", headers=headers).status_code == 401
        # refused on its headers alone: the body is never sent
        assert stranger.get("/health").status_code == 200
        named = {"Authorization": f"ApiKey {KEY}", "X-Traffic-Columns": "shop=eu"}
        assert ask(server, headers=named).status_code == 200
        assert stranger.get("/metrics", headers={"X-API-Key": KEY}).status_code == 200
    scored = server.client.get("/metrics").text
    assert 'darl_refused_total{reason="no_key"} 18.0' in scored


def check_killed_worker(server: RunningServer, first: dict[str, Any]) -> None:
    server.wait_event("a spare is ready")
    with Load(server) as load:
        time.sleep(0.5)
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        server.wait_event("a worker died")
        server._wait_for(
            lambda: True if len(server.events("model serves")) == 2 and ask(server).status_code == 200 else None,
            "healing",
        )  # fmt: skip
        time.sleep(0.5)
    server.wait_event("a spare is ready", 2)
    spares = [line["pid"] for line in server.events("a spare is ready")]
    assert server.worker_pids() == sorted(spares), "the first took over, so nobody waited for an import"
    assert set(load.outcomes) <= {"200", "503"}, load.outcomes
    assert load.outcomes["200"] > 0
    assert ask(server).json()["results"][0]["grade_probs"] == pytest.approx(
        first["results"][0]["grade_probs"], abs=1e-5
    )


def check_reload(server: RunningServer, folder: Path, old: str) -> None:
    save_other_version(folder)
    assert ask(server).json()["model_version"] == old  # nothing changes unasked
    with Load(server) as load:
        time.sleep(0.3)
        reply = server.client.post("/admin/reload", timeout=PATIENCE)
        assert reply.status_code == 200, reply.text
        time.sleep(0.3)
    new = reply.json()["version"]
    assert new != old
    assert load.outcomes.keys() == {"200"}, load.outcomes
    assert load.versions == {old, new}
    assert ask(server).json()["model_version"] == new


def check_corrupt_folder(server: RunningServer, folder: Path) -> None:
    version = ask(server).json()["model_version"]
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    with Load(server, clients=2) as load:
        weights.write_bytes(whole[: len(whole) // 2])
        reply = server.client.post("/admin/reload", timeout=PATIENCE)
        assert reply.status_code == 409
        assert reply.json()["error"]["type"] == "model_refused"
        assert str(folder) in reply.json()["error"]["where"]
        refused = len(server.events("reload refused"))
        shutil.move(folder, folder.with_name("away"))
        os.kill(server.process.pid, signal.SIGHUP)
        server.wait_event("reload refused", refused + 1)
    assert load.outcomes.keys() == {"200"}, load.outcomes
    assert load.versions == {version}
    assert server.client.get("/health").json()["status"] == "ready"


def check_sigterm(server: RunningServer) -> int:
    """Nothing accepted is lost; the pairs that were answered in the server's whole life."""
    with Load(server, pause=0.02) as load:  # so that some come while the last are answered
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        load.nothing_new_from = time.monotonic()
        assert server.process.wait(PATIENCE) == 0
    assert set(load.outcomes) <= {"200", "503", "not connected"}, load.outcomes
    assert load.outcomes["503"] > 0
    server.finish_reading()
    assert not list(server.events("requests are given up"))
    return sum(line["pairs"] for line in server.events("request") if line["status"] == 200)


def check_traffic(folder: Path, rows: int) -> None:
    """What was buffered when SIGTERM came is there, every row of it, and nothing half-written."""
    files = list(folder.iterdir())
    assert all(path.suffix == ".parquet" for path in files)
    table = pq.read_table(folder)
    assert table.num_rows == rows > 0
    assert table["query"].null_count == table.num_rows
    assert table["query_hash"].null_count == 0
    assert set(table["shop"].to_pylist()) == {None, "eu"}
    assert table["ood_percentile"].null_count == 0


def test_a_poisonous_request_harms_no_other(server: RunningServer) -> None:
    good: list[httpx.Response] = []
    before = server.worker_pids()

    def ask_slowly() -> None:  # keeps the worker busy, so that the others end in one batch
        ask(server, "SLOW")

    def ask_well() -> None:
        good.append(ask(server, "yearly cover"))

    slow = threading.Thread(target=ask_slowly)
    slow.start()
    time.sleep(0.2)
    poison: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: poison.append(ask(server, "POISON")))]
    threads += [threading.Thread(target=ask_well) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in [slow, *threads]:
        thread.join()
    assert [reply.status_code for reply in good] == [200] * 8
    assert poison[0].status_code == 422
    assert "poison" in poison[0].json()["error"]["what"]
    assert server.worker_pids() == before
    assert server.post("/rerank", {"query": "q", "texts": ["POISON"]}).json()["error_type"] == "backend"


def test_a_client_that_leaves_is_forgotten(server: RunningServer) -> None:
    def gone() -> int:
        return sum(line.get("refused") == "client_gone" for line in server.events("request"))

    before = gone()
    patience = httpx.Timeout(PATIENCE, read=0.3)
    with (
        httpx.Client(base_url=server.url, trust_env=False, timeout=patience) as hasty,
        pytest.raises(httpx.ReadTimeout),
    ):
        hasty.post("/v1/relevance", json={"query": "q", "items": ["SLOW"]})
    assert ask(server).status_code == 200
    server._wait_for(lambda: gone() == before + 1 or None, "note of the client that left")
    assert "darl_queue_tokens 0.0" in server.client.get("/metrics").text


def test_a_request_that_kills_its_worker_gets_an_error_and_the_next_is_answered(server: RunningServer) -> None:
    reply = ask(server, "DEADLY")
    assert reply.status_code == 503
    assert "retry-after" in reply.headers
    assert server.client.get("/health").status_code == 503
    server.wait_ready()
    assert ask(server).status_code == 200


def start_that_fails(model: Path, port: str = "0") -> str:
    """What a server says that refuses to start, which is no traceback."""
    result = subprocess.run(
        [sys.executable, "-m", "darl.cli.main", "serve", str(model), "--port", port, "spare=false", "workers=1"],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    return result.stderr


def test_a_corrupt_folder_is_refused_at_the_start(own_model: Path) -> None:
    (own_model / "model.safetensors").write_bytes(b"not weights")
    said = start_that_fails(own_model)
    assert str(own_model) in said
    assert "mend" in said


def test_a_taken_port_is_a_named_error(served_model: Path, server: RunningServer) -> None:
    assert "cannot listen there" in start_that_fails(served_model, server.url.rpartition(":")[2])
