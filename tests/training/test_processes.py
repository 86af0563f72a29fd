"""Two processes under torchrun train one model, and one of them speaks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_world import recipe_dict

from darl.model import RelevanceModel
from darl.storage import read_json
from darl.training.processes import barrier, is_main, world_size

# each process takes 6 of a step's 12 pairs: the steps are those of one process with batches of 12
CHANGES: dict[str, Any] = {"tune": {"batch_size": 6, "start": "random", "kind": "lora"}, "ood": {"enabled": False}}


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


def test_two_processes_take_the_steps_of_one_with_batches_twice_as_large(done: tuple[Path, str]) -> None:
    assert read_json(done[0] / "metrics.json")["choices"]["tune-random"]["steps"] == 16


def test_two_processes_leave_one_model_that_scores(done: tuple[Path, str]) -> None:
    scores = RelevanceModel.from_pretrained(done[0] / "model").score(queries=["pet insurance"], items=["vet bills"])
    assert scores.probabilities.shape == (1, 3)


def test_one_process_speaks(done: tuple[Path, str]) -> None:
    assert json.loads(done[1])["metrics"]["name"] == "small"


def test_two_processes_save_one_adapter(done: tuple[Path, str]) -> None:
    assert (done[0] / "stages" / "tune-random" / "adapter" / "adapter_model.safetensors").is_file()
    assert not list(done[0].rglob("*.partial"))


def test_a_finished_run_is_found_by_two_processes(done: tuple[Path, str], recipe: Path) -> None:
    stage = done[0] / "stages" / "tune-random" / "stage.json"
    before = stage.stat().st_mtime_ns
    again = torchrun(recipe, done[0])
    assert again.returncode == 0, again.stderr[-4000:]
    assert stage.stat().st_mtime_ns == before
    assert again.stdout.count("model: ") == 1


def test_an_error_of_one_process_ends_both(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed = torchrun(recipe, tmp_path / "file" / "run")
    assert failed.returncode not in (0, -signal.SIGKILL)
    assert "a part of the path is a file" in failed.stderr
