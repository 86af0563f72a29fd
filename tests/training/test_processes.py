"""Two processes under torchrun train one model, and one of them speaks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fit_worker import run_rank
from own_process import PROCESSES
from safetensors.torch import load_file
from small_world import recipe_dict, small_recipe

from darl.model import RelevanceModel
from darl.storage import read_json
from darl.training.pipeline import fit
from darl.training.processes import barrier, is_main, world_size

# each process takes 6 of a step's 12 pairs: the steps are those of one process with batches of 12
TUNE: dict[str, Any] = {"start": "random", "kind": "lora", "dropout": 0.0, "lora": {"dropout": 0.0}}
CHANGES: dict[str, Any] = {"tune": TUNE | {"batch_size": 6}, "ood": {"enabled": False}}


def torchrun(recipe: Path, run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # torchrun takes --run for a short form of its own --run-path, so the folder is given by the recipe's key
    command += ["-m", "darl", "fit", str(recipe), f"output={run}", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def recipe(world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe_dict(world, tiny_encoder, **CHANGES), sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def done(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run of two processes, and what it printed."""
    run = tmp_path_factory.mktemp("two") / "run"
    finished = torchrun(recipe, run, "--output", "json")
    assert finished.returncode == 0, finished.stderr[-4000:]
    return run, finished.stdout


def test_one_process_needs_no_barrier() -> None:
    assert (world_size(), is_main()) == (1, True)
    barrier()


def test_two_processes_learn_what_one_learns_with_batches_twice_as_large(
    done: tuple[Path, str], world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    changes = CHANGES | {"tune": TUNE | {"batch_size": 12}}
    alone = fit(small_recipe(world, tiny_encoder, **changes), run=tmp_path, quiet=True)
    one, two = alone.metrics["choices"]["tune-random"], read_json(done[0] / "metrics.json")["choices"]["tune-random"]
    assert one["steps"] == two["steps"] == 16
    assert one["train_loss"] == pytest.approx(two["train_loss"], abs=1e-4)
    mine, theirs = (load_file(run / "stages" / "tune-random" / "network.safetensors") for run in (tmp_path, done[0]))
    assert mine.keys() == theirs.keys()
    assert all(torch.allclose(mine[name], theirs[name], atol=1e-5) for name in mine)


def test_two_processes_leave_one_model_that_scores(done: tuple[Path, str]) -> None:
    scores = RelevanceModel.from_pretrained(done[0] / "model").score(queries=["pet insurance"], items=["vet bills"])
    assert scores.probabilities.shape == (1, 3)


def test_one_process_speaks(done: tuple[Path, str]) -> None:
    assert json.loads(done[1])["metrics"]["name"] == "small"


def test_two_processes_save_one_adapter(done: tuple[Path, str]) -> None:
    assert (done[0] / "stages" / "tune-random" / "adapter" / "adapter_model.safetensors").is_file()
    assert not list(done[0].rglob("*.partial"))


def test_a_finished_run_is_found_by_two_processes(done: tuple[Path, str], recipe: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done[0].glob("stages/*/stage.json")}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    ranks = [PROCESSES.Process(target=run_rank, args=(settings, str(done[0]), rank, port)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    assert [process.exitcode for process in ranks] == [0, 0]
    assert {path: path.stat().st_mtime_ns for path in done[0].glob("stages/*/stage.json")} == before


def test_an_error_of_one_process_ends_the_other_that_waits(done: tuple[Path, str], recipe: Path) -> None:
    failed = torchrun(recipe, done[0], "seed=4")
    assert failed.returncode == 1
    assert "another recipe" in failed.stderr
