"""Fits in processes of their own, which may be killed, and what two runs of one recipe must have in common."""

from __future__ import annotations

import multiprocessing
import signal
from pathlib import Path
from typing import Any

import numpy as np
from fit_worker import Kill, run_command, run_fit

from darl.storage import read_json, sha256_file

# each run is a process of its own, forked from a server that has imported everything and done nothing
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["darl.training.pipeline", "darl.cli.main", "transformers.trainer", "peft"])

PATIENCE = 500  # seconds; a busy machine, and as a rule it takes a few


def run_in_process(recipe: dict[str, Any], run: Path, kill: Kill | None = None, *, redo: bool = False) -> int:
    """Fit in a process of its own; its exit code, negative for a signal."""
    process = PROCESSES.Process(target=run_fit, args=(recipe, str(run), kill, redo))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode is not None
    return process.exitcode


def command_in_process(arguments: list[str], folder: Path, kill: Kill | None = None) -> tuple[int, str, str]:
    """The command ``darl`` in a process of its own: its exit code, and what it said to either stream."""
    said = [folder / "stdout.txt", folder / "stderr.txt"]
    process = PROCESSES.Process(target=run_command, args=(arguments, *map(str, said), kill))
    process.start()
    process.join(PATIENCE)
    assert process.exitcode is not None
    out, err = (path.read_text(encoding="utf-8") for path in said)
    return process.exitcode, out, err


def assert_killed(recipe: dict[str, Any], run: Path, kill: Kill, *, redo: bool = False) -> None:
    assert run_in_process(recipe, run, kill, redo=redo) == -signal.SIGKILL, kill


def assert_same_run(run: Path, other: Path) -> None:
    """Metrics, every file of the model and the predictions, but for the time of day and the time it took."""
    assert facts_of(run) == facts_of(other)
    assert hashes(run / "model") == hashes(other / "model")
    names = sorted(path.name for path in run.glob("predictions-*.npz"))
    assert names == sorted(path.name for path in other.glob("predictions-*.npz"))
    for name in names:
        with np.load(run / name) as one, np.load(other / name) as two:
            assert set(one) == set(two)
            for key in one:
                np.testing.assert_array_equal(one[key], two[key], err_msg=f"{name}: {key}")


def facts_of(run: Path) -> dict[str, Any]:
    """darl's own facts, and the metrics of the run and of its rounds."""
    files = [run / "metrics.json", *sorted(run.glob("rounds/*/metrics.json"))]
    found = {str(path.relative_to(run)): read_json(path) for path in files}
    for metrics in found.values():
        del metrics["seconds"], metrics["seconds_by_stage"]
    facts = read_json(run / "model" / "darl.json")
    del facts["provenance"]["made"]
    return {"darl.json": facts, **found}


def hashes(model: Path) -> dict[str, str]:
    return {
        str(path.relative_to(model)): sha256_file(path)
        for path in sorted(model.rglob("*"))
        if path.is_file() and path.name != "darl.json"
    }
