"""Scoring on a real Ray cluster of two workers on this machine: every row once and in order, whatever dies."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darl.cli.main import app
from darl.dasa.pool import open_pool
from darl.dasa.shards import score_in_shards
from darl.errors import DataError, ModelError
from darl.model import RelevanceModel
from darl.scale_out.ray_engine import RayEngine, share_of
from darl.verbs.score import score_pairs
from small_model import make_small_model

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'darl[ray]'")
ROWS, CHUNK = 300, 16
SHARDS = list(range(-(-ROWS // CHUNK)))


@pytest.fixture(scope="module")
def model(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_decoder, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [{"query": f"query {i // 7}", "item": f"item number {i}", "n": i} for i in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def alone(model: Path, pairs: Path) -> pa.Table:
    table = score_pairs(model, pairs).table
    assert table is not None
    return table


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - 15 otherwise: beside a busy process its workers hardly run
    paths = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": paths}},
    )  # fmt: skip
    yield
    ray.shutdown()


def same(found: pa.Table, expected: pa.Table) -> None:
    assert found.column_names == expected.column_names
    assert found["n"].to_pylist() == expected["n"].to_pylist() == list(range(ROWS))
    for name in ("relevance_score", "ood_score"):
        np.testing.assert_allclose(found[name].to_numpy(), expected[name].to_numpy(), atol=1e-5)


class TestOnTwoWorkers:
    """What needs workers and does not end them: these start once, for each imports torch."""

    @pytest.fixture(scope="class")
    def workers(self, cluster: None, model: Path) -> Iterator[list[Any]]:
        engine = RayEngine(model, workers=2)
        yield engine.begin()
        engine.end()

    @pytest.fixture
    def engine(self, model: Path, workers: list[Any]) -> RayEngine:
        engine = RayEngine(model, workers=2)
        engine._begun = workers  # another's: its end leaves them
        return engine

    def test_they_give_what_one_process_gives_though_one_is_killed(
        self, engine: RayEngine, workers: list[Any], model: Path, pairs: Path, alone: pa.Table, tmp_path: Path
    ) -> None:
        """No row is lost, none doubled."""
        numbers: list[int] = []

        def killing(shards, options):
            yield from killed_at_work(workers[0], engine(shards, options), numbers)

        out = tmp_path / "out.parquet"
        result = score_pairs(model, pairs, out, chunk=CHUNK, engine=killing)
        assert result.pairs == ROWS
        same(pq.read_table(out), alone)
        assert sorted(numbers) == SHARDS != numbers, "each once; those of the killed one come late"
        assert not list(tmp_path.glob(".*.parts")), "nothing is left behind"

    def test_a_pool_is_as_here_though_one_is_killed(
        self, engine: RayEngine, workers: list[Any], model: Path, pairs: Path, tmp_path: Path
    ) -> None:
        own, pool, numbers = RelevanceModel.from_pretrained(model), open_pool(pairs).pairs, []
        here = score_in_shards(own, pool, tmp_path / "here", model_key="m", shard=CHUNK)

        class Killing:
            def embed(self, shards):
                yield from killed_at_work(workers[0], engine.embed(shards), numbers)

        away = score_in_shards(own, pool, tmp_path / "away", model_key="m", shard=CHUNK, engine=Killing())
        assert sorted(numbers) == SHARDS != numbers
        for name in ("ood_scores", "relevance", "probabilities"):
            np.testing.assert_allclose(getattr(away.candidates, name), getattr(here.candidates, name), atol=1e-5)
        np.testing.assert_allclose(away.features(np.arange(ROWS)), here.features(np.arange(ROWS)), atol=1e-4)

    def test_what_is_done_is_not_done_again(
        self, engine: RayEngine, workers: list[Any], model: Path, pairs: Path, alone: pa.Table, tmp_path: Path
    ) -> None:
        out, kept = tmp_path / "out.parquet", []

        def stopping(shards, options):
            with closing(engine(shards, options)) as results:
                for number, found in results:
                    if len(kept) == 4:
                        raise KeyboardInterrupt
                    yield number, found
                    kept.append(number)

        with pytest.raises(KeyboardInterrupt):
            score_pairs(model, pairs, out, chunk=CHUNK, engine=stopping)
        assert not out.exists()
        engine._begun, rest = workers, []

        def counting(shards, options):
            for number, found in engine(shards, options):
                rest.append(number)
                yield number, found

        score_pairs(model, pairs, out, chunk=CHUNK, engine=counting)
        assert sorted(kept + rest) == SHARDS
        same(pq.read_table(out), alone)


def killed_at_work(worker: Any, results: Iterator[tuple[int, Any]], numbers: list[int]) -> Iterator[tuple[int, Any]]:
    """The results, while a worker that has shards in hand dies after the third."""
    process = ray.get(worker.process.remote())
    os.kill(process, signal.SIGSTOP)  # else it may be done with what it has before it dies
    for number, found in results:
        numbers.append(number)
        if len(numbers) == 3:
            os.kill(process, signal.SIGKILL)
        yield number, found


def test_a_model_that_workers_do_not_see_is_a_named_error(
    cluster: None, model: Path, pairs: Path, tmp_path: Path
) -> None:
    engine = RayEngine(tmp_path / "nowhere", workers=1)
    with pytest.raises(ModelError):
        score_pairs(model, pairs, tmp_path / "out.parquet", chunk=CHUNK, engine=engine)


def test_an_engine_that_was_begun_is_ended_where_the_model_cannot_be_loaded(
    cluster: None, pairs: Path, tmp_path: Path
) -> None:
    class Beginning:
        steps: ClassVar[list[str]] = []

        def begin(self) -> None:
            self.steps.append("begun")

        def end(self) -> None:
            self.steps.append("ended")

        def __call__(self, shards, options):
            raise AssertionError("there is no model")

    with pytest.raises(ModelError):
        score_pairs(tmp_path / "nowhere", pairs, tmp_path / "out.parquet", chunk=CHUNK, engine=Beginning())
    assert Beginning.steps == ["begun", "ended"]


def test_begun_twice_it_starts_once_and_begins_anew_after_its_end(cluster: None, model: Path) -> None:
    engine = RayEngine(model, workers=1)
    workers = engine.begin()
    assert engine.begin() is workers
    engine.end()
    engine.end()
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(workers[0].process.remote())
    assert ray.get(engine.begin()[0].process.remote())
    engine.end()


def test_an_engine_needs_files(cluster: None, model: Path, tmp_path: Path) -> None:
    table = pa.table({"query": ["a"], "item": ["b"]})
    with pytest.raises(DataError, match="only a file"):
        score_pairs(model, table, tmp_path / "out.parquet", engine=RayEngine(model))


def test_select_from_the_command_line_picks_the_same(cluster: None, model: Path, pairs: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    picks = []
    for engine in ("local", "ray"):
        out = tmp_path / f"{engine}.jsonl"
        arguments = ["select", str(model), str(pairs), "--budget", "20", "-o", str(out), "-q", "--seed", "0"]
        arguments += ["--cache", str(tmp_path / engine), "--engine", engine, "--workers", "1"]
        found = CliRunner().invoke(app, arguments)
        assert found.exit_code == 0, found.output
        picks.append([json.loads(line)["n"] for line in out.read_text().splitlines()])
    assert len(picks[0]) == 20
    assert picks[0] == picks[1]


def test_workers_never_claim_more_than_there_is() -> None:
    for resource in range(1, 9):
        for workers in range(1, 20):
            claim = share_of(resource, workers, 4)
            assert 0 < claim * workers <= resource + 1e-9
            assert claim < 1 or claim == int(claim)


def test_from_the_command_line(cluster: None, model: Path, pairs: Path, alone: pa.Table, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    out = tmp_path / "out.parquet"
    arguments = ["score", str(model), str(pairs), "-o", str(out), "--engine", "ray", "--workers", "1", "-q"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    same(pq.read_table(out), alone)
