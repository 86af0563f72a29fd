"""The parts of the server without a process: queue, fairness, limits, settings, keys, traffic log, logs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fake_worker import FACTS, FakeWorker, batcher_with, settings_of
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from darl.errors import RecipeError, StorageError
from darl.serving.batcher import Batcher
from darl.serving.dialects.paths import ENDPOINTS
from darl.serving.facts import ModelFacts, PairScore
from darl.serving.fleet import MOST_WORKERS, number_of_workers
from darl.serving.jobs import Job, TokenEstimate
from darl.serving.limits import parse_json
from darl.serving.link import WorkerDiedError
from darl.serving.logs import JsonLines
from darl.serving.metrics import Metrics
from darl.serving.openapi import describe_endpoints
from darl.serving.refusals import Refusal
from darl.serving.settings import ServeSettings, load_settings
from darl.serving.traffic_columns import traffic_columns
from darl.serving.traffic_log import SCHEMA, Served, TrafficLog
from darl.serving.version import model_version

# ------------------------------------------------------------------------------------------------ queue


def test_scores_come_back_in_the_requests_order() -> None:
    async def run() -> None:
        worker = FakeWorker()
        batcher = batcher_with(worker, batch_tokens=16)
        queries = [f"query {row % 3}" for row in range(40)]
        job = batcher.submit(queries, ["x" * row for row in range(40)], ood=False)
        assert [row.relevance for row in await job.done] == [float(row) for row in range(40)]
        assert batcher.queued == 0
        for batch in worker.batches:  # items of one query stand together
            flat = [query for part in batch for query in part["queries"]]
            assert len(set(flat)) == 1 + sum(a != b for a, b in pairwise(flat))

    asyncio.run(run())


def test_a_large_request_does_not_hold_up_small_ones() -> None:
    async def run() -> None:
        worker = FakeWorker(rate=2560)  # a budget of 256 tokens
        worker.hold.clear()
        batcher = batcher_with(worker)
        large = batcher.submit(["q"] * 900, ["an item of some length"] * 900, ood=False)
        await asyncio.sleep(0.01)
        small = [batcher.submit([f"q{n}"], ["an item"], ood=False) for n in range(5)]
        worker.hold.set()
        await asyncio.gather(*(job.done for job in small))
        assert len(await large.done) == 900
        with_small = [at for at, batch in enumerate(worker.batches) if any(len(p["items"]) == 1 for p in batch)]
        assert with_small == [1], "the small ones wait for what is being scored, and no longer"
        assert len(worker.batches) > 3

    asyncio.run(run())


@pytest.mark.parametrize(("shares", "pairs_a_slice"), [(False, 4), (True, 17)])
def test_a_slice_counts_a_shared_query_once(shares: bool, pairs_a_slice: int) -> None:
    async def run() -> None:
        worker = FakeWorker(dataclasses.replace(FACTS, shares_prefix=shares), rate=5120)  # slices of 128 tokens
        batcher = batcher_with(worker)
        batcher.estimate.per_byte = 0.25
        job = batcher.submit(["q" * 80] * 40, ["i" * 20] * 40, ood=False)  # 4 + 20 + 5 tokens a pair
        assert len(job.todo[0].rows) == pairs_a_slice
        assert job.cost == batcher.queued == job.waiting
        await job.done
        assert batcher.queued == 0

    asyncio.run(run())


def test_a_batch_at_the_door_still_takes_what_comes() -> None:
    async def run() -> None:
        worker = FakeWorker(rate=1)  # each of these takes some seconds, by this estimate
        worker.hold.clear()
        batcher = batcher_with(worker, max_wait_seconds=1e6)
        jobs = [batcher.submit(["q"], ["an item of some length"], ood=False)]
        await asyncio.sleep(0.01)
        for n in range(3):
            jobs.append(batcher.submit([f"q{n}"], ["an item"], ood=False))
            await asyncio.sleep(0.01)
        worker.hold.set()
        await asyncio.gather(*(job.done for job in jobs))
        assert [len(batch) for batch in worker.batches] == [1, 3]

    asyncio.run(run())


def test_two_free_workers_share_what_waits() -> None:
    async def run() -> None:
        workers = [FakeWorker(), FakeWorker()]
        batcher = Batcher(settings_of(), Metrics())
        for worker in workers:
            worker.hold.clear()
            batcher.attach(worker)  # type: ignore[arg-type]
        jobs = [batcher.submit([f"q{n}"], ["an item"], ood=False) for n in range(10)]
        await asyncio.sleep(0.01)
        assert [len(worker.batches[0]) for worker in workers] == [5, 5]
        for worker in workers:
            worker.hold.set()
        await asyncio.gather(*(job.done for job in jobs))

    asyncio.run(run())


def test_the_speed_follows_batches_that_are_no_small_ones() -> None:
    async def run() -> None:
        worker = FakeWorker(rate=1e9)  # what a probe found on an idle machine
        batcher = batcher_with(worker)
        for _ in range(40):
            await batcher.submit(["q"] * 200, ["an item of some length"] * 200, ood=False).done
        assert batcher.speed < 1e6

    asyncio.run(run())


def test_what_waits_for_a_worker_that_dies_is_scored_by_the_next() -> None:
    async def run() -> None:
        dying, heir = FakeWorker(rate=1), FakeWorker()
        dying.hold.clear()

        def die(_: list[dict[str, Any]]) -> None:
            dying.serving = False
            raise WorkerDiedError("killed")

        dying.act = die
        batcher = batcher_with(dying, max_wait_seconds=1e6)
        first = batcher.submit(["q"], ["an item of some length"], ood=False)
        await asyncio.sleep(0.01)
        waiting = [batcher.submit([f"q{n}"], ["an item"], ood=False) for n in range(3)]
        await asyncio.sleep(0.01)
        dying.hold.set()
        with pytest.raises(Refusal):
            await first.done
        await asyncio.sleep(0.05)  # time enough for the dead one's door to open
        batcher.attach(heir)  # type: ignore[arg-type]
        assert [len(await job.done) for job in waiting] == [1, 1, 1]
        assert len(dying.batches) == 1

    asyncio.run(run())


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def run() -> None:
        worker = FakeWorker()
        worker.hold.clear()
        batcher = batcher_with(worker, max_queue_tokens=500)
        jobs = [batcher.submit(["q"] * 40, ["some words of an item"] * 40, ood=False)]
        with pytest.raises(Refusal) as caught:
            jobs += [batcher.submit(["q"] * 5, ["some words of an item"] * 5, ood=False) for _ in range(20)]
        assert caught.value.status == 429
        assert caught.value.retry_after
        worker.hold.set()
        await asyncio.gather(*(job.done for job in jobs))
        assert batcher.queued == 0
        await batcher.submit(["q"], ["i"], ood=False).done

    asyncio.run(run())


def test_a_long_wait_refuses() -> None:
    async def run() -> None:
        worker = FakeWorker(rate=5)
        worker.hold.clear()
        batcher = batcher_with(worker, max_wait_seconds=1.0)
        job = batcher.submit(["q"], ["some words of an item"], ood=False)
        with pytest.raises(Refusal, match="of work"):
            batcher.submit(["q"], ["i"], ood=False)
        batcher.give_up(job, Refusal("client_gone", "left"))
        await asyncio.sleep(0)
        assert batcher.queued == 0
        batcher.submit(["q"], ["i"], ood=False)

    asyncio.run(run())


def test_a_given_up_job_is_not_scored() -> None:
    async def run() -> None:
        worker = FakeWorker()
        batcher = Batcher(settings_of(), Metrics())
        gone = batcher.submit(["q"], ["gone"], ood=False)
        kept = batcher.submit(["q"], ["kept"], ood=False)
        batcher.give_up(gone, Refusal("client_gone", "left"))
        batcher.attach(worker)  # type: ignore[arg-type]
        await kept.done
        assert [part["items"] for batch in worker.batches for part in batch] == [["kept"]]
        await asyncio.sleep(0)
        assert batcher.queued == 0

    asyncio.run(run())


def test_a_dead_worker_fails_what_it_had_and_nothing_else() -> None:
    async def run() -> None:
        worker, other = FakeWorker(), FakeWorker()
        batcher = Batcher(settings_of(batch_tokens=1), Metrics())
        jobs = [batcher.submit(["q"], [f"item {n}"], ood=False) for n in range(4)]

        def die(_: Any) -> None:
            worker.serving = False
            raise WorkerDiedError("killed")

        worker.act = die
        batcher.attach(worker)  # type: ignore[arg-type]
        await asyncio.wait([job.done for job in jobs], return_when=asyncio.FIRST_COMPLETED)
        await batcher.detach(worker)  # type: ignore[arg-type]
        done = {job.done for job in jobs if job.done.done()}
        assert 1 <= len(done) <= 2, "one batch at work and one at its door"
        assert all(job.exception().kind == "worker_died" for job in done)  # type: ignore[union-attr]
        batcher.attach(other)  # type: ignore[arg-type]
        rest = [job for job in jobs if job.done not in done]
        assert len(await asyncio.gather(*(job.done for job in rest))) == len(rest)

    asyncio.run(run())


def test_a_reply_is_of_one_model() -> None:
    """The model changes after the first slice of a request: the request is scored anew, by the new one alone."""

    async def run() -> None:
        newer = ModelFacts.from_dict(FACTS.to_dict() | {"version": "v2"})
        job = Job(["q"] * 4, ["a", "b", "c", "d"], [1] * 4, slice_cost=2, ood=False)
        first, second = job.todo.popleft(), job.todo.popleft()
        worker = FakeWorker()
        assert job.take(first, FACTS, worker._outcome(first.message()))
        assert not job.take(second, newer, worker._outcome(second.message()))
        assert len(job.todo) == 2
        assert job.take(first, FACTS, worker._outcome(first.message()))  # late, of the round before: ignored
        for part in list(job.todo):
            assert job.take(part, newer, worker._outcome(part.message()))
        assert len(await job.done) == 4
        assert job.facts is newer

    asyncio.run(run())


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 60))
def test_slices_cover_a_job(costs: list[int], slice_cost: int) -> None:
    async def run() -> None:
        queries = [f"q{cost % 4}" for cost in costs]
        job = Job(queries, ["i"] * len(costs), costs, slice_cost=slice_cost, ood=False)
        assert sorted(row for part in job.todo for row in part.rows) == list(range(len(costs)))
        assert all(part.cost <= slice_cost or len(part.rows) == 1 for part in job.todo)

    asyncio.run(run())


def test_the_token_estimate_learns() -> None:
    estimate = TokenEstimate(512, 4)
    for _ in range(200):
        estimate.learn(1000, 120)
    assert estimate.cost("", "x" * 1000) == pytest.approx(4 + 120 + 1000 // 64, abs=2)


# ----------------------------------------------------------------------------------------------- bounds


def test_unreadable_json() -> None:
    for body in (b"", b"[]", b"1", b"{", b'{"a":NaN}', b'{"a":Infinity}', b"\xff", b'{"a":' * 5000, b'{"a":"\\ud8'):
        with pytest.raises(Refusal) as caught:
            parse_json(body)
        assert caught.value.status == 400
    assert parse_json(b'{"a":["b\\ud83d\\udc08","\\udc08"]}') == {"a": ["b🐈", "\ufffd"]}


def test_shared_paths_tell_dialects_apart() -> None:
    by_path = {endpoint.path: endpoint for endpoint in ENDPOINTS}
    assert by_path["/rerank"].dialect({"texts": []}, {}).name == "tei"
    assert by_path["/rerank"].dialect({"documents": []}, {}).name == "vllm_rerank"
    assert by_path["/rerank"].dialect({"input": []}, {}).name == "elasticsearch"
    assert by_path["/v1/rerank"].dialect({"documents": []}, {}).name == "jina"
    assert by_path["/v1/rerank"].dialect({"documents": [], "rank_fields": []}, {}).name == "cohere_v1"
    assert by_path["/v1/rerank"].dialect({"documents": []}, {"x-fern-sdk-name": "cohere"}).name == "cohere_v1"


# --------------------------------------------------------------------------------------------- settings


def test_flags_beat_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("model: m\nport: 1\nmax_documents: 1\nood: always\napi_keys: [a, b]\n")
    monkeypatch.setenv("DARL_SERVE_PORT", "2")
    monkeypatch.setenv("DARL_SERVE_MAX_DOCUMENTS", "2")
    found = load_settings(file, port=3, host=None)
    assert (found.port, found.max_documents, found.ood, found.host) == (3, 2, "always", "127.0.0.1")
    assert found.all_keys() == ("a", "b")
    monkeypatch.setenv("DARL_SERVE_API_KEYS", "secret-c, secret-d")
    assert load_settings(file).all_keys() == ("secret-c", "secret-d")
    assert "secret" not in str(load_settings(file))


def test_wrong_settings_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="prot"):
        load_settings(model="m", prot=1)
    with pytest.raises(RecipeError, match="--port"):
        load_settings(model="m", port=70_000)
    monkeypatch.setenv("DARL_SERVE_OOD", "maybe")
    with pytest.raises(RecipeError, match="DARL_SERVE_OOD"):
        load_settings(model="m")
    monkeypatch.delenv("DARL_SERVE_OOD")
    with pytest.raises(RecipeError, match="name the model"):
        load_settings()
    with pytest.raises(StorageError):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "keys").write_text("# none\n")
    with pytest.raises(RecipeError, match="no key"):
        load_settings(model="m", api_keys_file=tmp_path / "keys").all_keys()


@pytest.mark.parametrize(
    ("settings", "cores", "expected"),
    [
        ({"device": "cpu"}, 2, 2),
        ({"device": "cpu"}, 64, MOST_WORKERS),
        ({"device": "cpu", "threads": 4}, 8, 2),
        ({"device": "cpu", "threads": 16}, 8, 1),
        ({"device": "cuda"}, 16, 1),
        ({"device": "cuda", "workers": 2}, 16, 2),
    ],
)
def test_a_processor_gets_a_worker_a_core_and_a_card_one(settings: dict[str, Any], cores: int, expected: int) -> None:
    assert number_of_workers(ServeSettings(model=Path("m"), **settings), cores) == expected


def test_the_model_is_named_after_its_run() -> None:
    assert load_settings(model="runs/shop/model").model_name == "shop"
    assert load_settings(model="shop-v2").model_name == "shop-v2"


# ------------------------------------------------------------------------------------------ traffic log


def served(count: int) -> Served:
    rows = [PairScore(1, [0.25, 0.75], 0.75, None if n % 2 else 1.5, None if n % 2 else 99.0, 9) for n in range(count)]
    return Served("id", "darl", ["cat insurance"] * count, [f"item {n}" for n in range(count)], rows, FACTS, 12.5)


def test_the_traffic_log_is_what_it_says(tmp_path: Path) -> None:
    log = TrafficLog(settings_of(traffic_log=tmp_path, traffic_texts="plain", traffic_rows=10), Metrics())
    log.note(served(25))
    log.close()
    tables = [pq.read_table(path) for path in sorted(tmp_path.iterdir())]
    assert [table.num_rows for table in tables] == [10, 10, 5]
    assert all(table.schema.equals(SCHEMA) for table in tables)
    first = tables[0].slice(0, 1).to_pylist()[0]
    assert first["query"] == "cat insurance"
    assert first["probabilities"] == [0.25, 0.75]
    assert (first["grade"], first["model_version"], first["dialect"], first["latency_ms"]) == (1, "v1", "darl", 12.5)
    assert (first["ood_score"], first["ood_percentile"]) == (1.5, 99.0)
    assert tables[0]["ood_score"].null_count == 5


def test_the_traffic_log_keeps_the_columns_that_clients_name(tmp_path: Path) -> None:
    log = TrafficLog(settings_of(traffic_log=tmp_path, traffic_columns="domain, shop"), Metrics())
    for header in ("domain=caf%C3%A9&shop=eu&else=1", "shop=us", ""):
        named = traffic_columns({"x-traffic-columns": header}, log.settings.traffic_columns)
        log.note(dataclasses.replace(served(2), columns=named))
    log.close()
    table = pq.read_table(tmp_path)
    assert table.column_names == [*SCHEMA.names, "domain", "shop"]
    assert table["domain"].to_pylist() == ["café"] * 2 + [None] * 4
    assert table["shop"].to_pylist() == ["eu"] * 2 + ["us"] * 2 + [None] * 2


@pytest.mark.parametrize("columns", [(), ("domain", "shop")])
def test_the_schema_names_the_header_of_columns_where_there_are_any(columns: tuple[str, ...]) -> None:
    app = FastAPI()
    for endpoint in ENDPOINTS:
        app.add_api_route(endpoint.path, lambda: None, methods=["POST"])
    describe_endpoints(app, "1.0", columns)
    for endpoint in ENDPOINTS:
        operation = app.openapi()["paths"][endpoint.path]["post"]
        headers = [p for p in operation.get("parameters", []) if p["in"] == "header"]
        assert [header["name"] for header in headers] == (["X-Traffic-Columns"] if columns else [])
        assert [header["example"] for header in headers] == (["domain=some+domain&shop=some+shop"] if columns else [])


@pytest.mark.parametrize("names", ["query", "a b", "9x", "domain,grade"])
def test_a_name_that_cannot_be_a_column_of_the_log(names: str) -> None:
    with pytest.raises(RecipeError, match="cannot be a column"):
        load_settings(model="m", traffic_columns=names)


@pytest.mark.parametrize("header", ["&".join(f"domain={n}" for n in range(200)), "%%%=%", "domain", "=", "\x00"])
def test_a_header_of_columns_that_is_nonsense_costs_nothing(header: str) -> None:
    assert traffic_columns({"x-traffic-columns": header}, ("domain",)) == {}


def test_a_value_of_a_column_is_a_name_not_a_text() -> None:
    assert traffic_columns({"x-traffic-columns": "domain=" + "x" * 5000}, ("domain",)) == {"domain": "x" * 100}


def test_hashes_hide_the_texts_and_a_salt_hides_them_better(tmp_path: Path) -> None:
    hashes = []
    for name, more in (("a", {}), ("b", {"traffic_salt": "one"}), ("c", {"traffic_salt": "two"})):
        log = TrafficLog(settings_of(traffic_log=tmp_path / name, **more), Metrics())
        log.note(served(2))
        log.close()
        table = pq.read_table(tmp_path / name)
        assert table["query"].null_count == table["item"].null_count == 2
        assert len(set(table["query_hash"].to_pylist())) == 1
        hashes.append(table["query_hash"][0].as_py())
    assert len(set(hashes)) == 3


def test_the_traffic_log_is_bounded(tmp_path: Path) -> None:
    log = TrafficLog(settings_of(traffic_log=tmp_path, traffic_rows=10, traffic_max_bytes=15_000), Metrics())
    for _ in range(8):
        log.note(served(10))
        log.flush()
    log.close()
    files = list(tmp_path.iterdir())
    assert sum(path.stat().st_size for path in files) <= 15_000
    assert 1 <= len(files) < 8


def test_a_disk_that_refuses_costs_rows_and_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    log = TrafficLog(settings_of(traffic_log=tmp_path, traffic_rows=10), metrics)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        for _ in range(20):
            log.note(served(10))
        log.flush()
    log.close()
    assert sum(pq.read_metadata(path).num_rows for path in tmp_path.iterdir()) == 40
    assert b'darl_traffic_rows_total{outcome="dropped"} 160.0' in metrics.text()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        TrafficLog(settings_of(traffic_log=tmp_path / "file"), Metrics())


# ------------------------------------------------------------------------------------------------- rest


def test_logs_are_json_lines() -> None:
    record = logging.LogRecord("darl.serving", logging.INFO, "", 0, "request", None, None)
    record.facts = {"status": 200}
    line = json.loads(JsonLines().format(record))
    assert (line["event"], line["level"], line["status"]) == ("request", "info", 200)


def test_versions_follow_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights").write_bytes(b"1")
    first = model_version(tmp_path / "a", {})
    (tmp_path / "a" / "weights").write_bytes(b"2")
    assert len(first) == 12
    assert model_version(tmp_path / "a", {}) != first
    (tmp_path / "a" / "weights").write_bytes(b"1")
    assert model_version(tmp_path / "a", {}) == first
