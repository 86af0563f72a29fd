"""A pool in shards: the same figures as without, and a kill loses at most one shard."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from dasa_worlds import FakeModel, ShardModel, pool_of, table

from darl.dasa import select
from darl.dasa.shards import folder_key, pool_arrays, score_in_shards
from darl.errors import RecipeError, StorageError
from darl.pairs import PairTable

HERE = Path(__file__).parent


def test_shards_say_what_one_pass_says(tmp_path):
    model, pool = ShardModel(), pool_of(103, 20)
    scored = score_in_shards(model, pool, tmp_path, model_key="m", shard=25, chunk=10)
    features = model.ood_features(pool)
    np.testing.assert_allclose(scored.features(np.arange(103)), features, atol=1e-6)
    rows = np.array([99, 3, 3, 50])
    np.testing.assert_allclose(scored.features(rows), features[rows], atol=1e-6)
    assert scored.features(np.zeros(0, dtype=int)).shape == (0, 0)
    says = model.score(pool)
    assert scored.candidates.grades.tolist() == says.grades.tolist()
    np.testing.assert_allclose(scored.candidates.probabilities, says.probabilities, atol=1e-6)
    assert len(list(scored.folder.glob("shard-*"))) == 5


def test_finished_shards_are_not_scored_again(tmp_path):
    model, pool, done = ShardModel(), pool_of(60, 20), []
    first = score_in_shards(model, pool, tmp_path, model_key="m", shard=20)
    (first.folder / "shard-00001.safetensors").unlink()
    again = ShardModel()
    second = score_in_shards(again, pool, tmp_path, model_key="m", shard=20, progress=done.append)
    assert [len(pairs) for pairs in again.scored] == [20]
    assert sum(done) == 60
    np.testing.assert_array_equal(first.candidates.ood_scores, second.candidates.ood_scores)


def test_an_engine_scores_what_is_missing_in_any_order(tmp_path):
    pool, done = pool_of(103, 20), []
    here = score_in_shards(ShardModel(), pool, tmp_path / "here", model_key="m", shard=25)

    class Backwards:
        asked: ClassVar[list[int]] = []

        def embed(self, shards):
            for shard in reversed(list(shards)):
                self.asked.append(shard.number)
                yield shard.number, pool_arrays(ShardModel(), PairTable.from_pairs(shard.queries, shard.items))

    first = score_in_shards(ShardModel(), pool.take(range(103)), tmp_path / "away", model_key="m", shard=25)
    (first.folder / "shard-00002.safetensors").unlink()
    (first.folder / "shard-00004.safetensors").unlink()
    local = ShardModel()
    away = score_in_shards(
        local, pool, tmp_path / "away", model_key="m", shard=25, progress=done.append, engine=Backwards()
    )
    assert (Backwards.asked, local.scored, sum(done)) == ([4, 2], [], 103)
    score_in_shards(local, pool, tmp_path / "away", model_key="m", shard=25, engine=object())  # type: ignore  # nothing to do
    np.testing.assert_array_equal(here.candidates.ood_scores, away.candidates.ood_scores)
    np.testing.assert_array_equal(here.features(np.arange(103)), away.features(np.arange(103)))


def test_an_engine_needs_a_cache():
    with pytest.raises(RecipeError, match="name a folder for it"):
        select(ShardModel(), pool_of(10, 5), budget=1, engine=object())  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["model", "pool", "shard"])
def test_another_model_or_pool_reads_nothing_of_it(tmp_path, change):
    score_in_shards(ShardModel(), pool_of(40, 20), tmp_path, model_key="m", shard=20)
    other = ShardModel()
    pool = pool_of(40, 20, seed=1) if change == "pool" else pool_of(40, 20)
    key, shard = ("n" if change == "model" else "m"), (10 if change == "shard" else 20)
    score_in_shards(other, pool, tmp_path, model_key=key, shard=shard)
    assert sum(len(pairs) for pairs in other.scored) == 40


def test_a_damaged_shard_is_named(tmp_path):
    scored = score_in_shards(ShardModel(), pool_of(40, 20), tmp_path, model_key="m", shard=20)
    path = scored.folder / "shard-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StorageError, match="shard-00001"):
        score_in_shards(ShardModel(), pool_of(40, 20), tmp_path, model_key="m", shard=20)


def test_a_kill_loses_at_most_one_shard(tmp_path):
    command = [sys.executable, str(HERE / "shard_worker.py"), str(tmp_path)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(HERE)})
    assert worker.stdout is not None
    scored = 0
    while scored < 130:  # in the middle of a shard, most likely
        scored += int(worker.stdout.readline())
    worker.send_signal(signal.SIGKILL)
    scored += sum(int(line) for line in worker.stdout.read().split())
    worker.wait()
    (folder,) = tmp_path.iterdir()
    whole = len(list(folder.glob("shard-*.safetensors")))
    assert scored - 20 * whole <= 20
    time.sleep(0.01)
    again = ShardModel()
    result = score_in_shards(again, pool_of(400, 50), tmp_path, model_key="m", shard=20, chunk=10)
    assert sum(len(pairs) for pairs in again.scored) == 400 - 20 * whole
    fresh = score_in_shards(ShardModel(), pool_of(400, 50), tmp_path / "fresh", model_key="m", shard=20, chunk=10)
    np.testing.assert_array_equal(result.candidates.ood_scores, fresh.candidates.ood_scores)


def test_select_from_a_cache_picks_the_same(tmp_path):
    pool = table(*[(f"query {i}", f"item {i} far {i * 0.07:.2f}") for i in range(80)])  # below a full turn
    bare, cached = select(FakeModel(), pool, budget=10), select(ShardModel(), pool, budget=10, cache=tmp_path)
    assert bare.pairs.items == cached.pairs.items
    again = ShardModel()
    select(again, pool, budget=10, cache=tmp_path, strategy="random")
    assert not again.scored
    with pytest.raises(RecipeError, match="cache"):
        select(FakeModel(), pool, budget=10, cache=tmp_path)


def test_the_key_of_a_folder_follows_its_contents(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = folder_key(tmp_path / "a")
    (tmp_path / "a" / "x").write_text("2")
    assert folder_key(tmp_path / "a") != first
    with pytest.raises(RecipeError):
        folder_key(tmp_path / "b")
