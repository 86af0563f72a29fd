"""The run folder: whose it is, what is done again, who may write, and what a full or forbidden disk does."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file
from small_world import small_recipe, write_pairs

from darl.errors import RunError, StorageError
from darl.model import RelevanceModel
from darl.storage import read_json
from darl.training import trainer
from darl.training.checkpoints import is_disk_error
from darl.training.pipeline import fit
from darl.training.run import Run, Stage


@pytest.fixture
def recipe(world: dict[str, str], tiny_encoder: Path):
    """``recipe(tune={...})`` is the small recipe with changes."""
    return lambda **changes: small_recipe(world, tiny_encoder, **changes)


def work(text: str, calls: list[str] | None = None):
    """A stage that writes ``text`` into a file and says so."""

    def write(folder: Path) -> dict[str, Any]:
        (folder / "out.txt").write_text(text)
        if calls is not None:
            calls.append(text)
        return {"text": text}

    return write


def do(run: Run, text: str, inputs: dict[str, Any], calls: list[str] | None = None, after=()) -> Stage:
    return run.stage("one", inputs, work(text, calls), after=after)


# ------------------------------------------------------------------------------------------------ stages


def test_a_stage_is_done_once(recipe, tmp_path: Path) -> None:
    run, calls = Run(tmp_path, recipe()), []
    first, second = do(run, "a", {"x": 1}, calls), do(run, "b", {"x": 1}, calls)
    assert calls == ["a"]
    assert (first.reused, second.reused) == (False, True)
    assert second.result == {"text": "a"}


def test_a_stage_with_other_inputs_is_refused(recipe, tmp_path: Path) -> None:
    run = Run(tmp_path, recipe())
    do(run, "a", {"x": 1})
    with pytest.raises(RunError, match="since stage 'one' was done"):
        do(run, "b", {"x": 2})


def test_a_stage_after_another_upstream_is_refused(recipe, tmp_path: Path) -> None:
    run = Run(tmp_path, recipe())
    do(run, "a", {})
    with pytest.raises(RunError):
        do(run, "b", {}, after=(Stage("up", tmp_path, "some key", {}, False),))


def test_redo_does_a_changed_stage_again(recipe, tmp_path: Path) -> None:
    run = Run(tmp_path, recipe(), redo=True)
    do(run, "a", {"x": 1})
    assert do(run, "b", {"x": 2}).result == {"text": "b"}
    assert (tmp_path / "stages" / "one" / "out.txt").read_text() == "b"


def test_a_stage_that_was_removed_in_part_is_done_again(recipe, tmp_path: Path) -> None:
    run = Run(tmp_path, recipe())
    do(run, "a", {})
    (tmp_path / "stages" / "one" / "stage.json").unlink()
    assert do(run, "b", {}).result == {"text": "b"}


def test_a_failed_stage_leaves_nothing_under_its_name(recipe, tmp_path: Path) -> None:
    run = Run(tmp_path, recipe())
    with pytest.raises(ZeroDivisionError):
        run.stage("one", {}, lambda folder: {"x": 1 / 0})
    assert not (tmp_path / "stages" / "one").exists()


def test_a_stage_begins_with_an_empty_folder(recipe, tmp_path: Path) -> None:
    left = tmp_path / "stages" / "one.partial" / "left"
    left.parent.mkdir(parents=True)
    left.touch()
    stage = do(Run(tmp_path, recipe()), "a", {})
    assert sorted(path.name for path in stage.folder.iterdir()) == ["key", "out.txt", "stage.json"]


def test_a_collective_stage_finds_what_a_killed_one_left(recipe, tmp_path: Path) -> None:
    run, found = Run(tmp_path, recipe()), []

    def tune(folder: Path) -> dict[str, Any]:
        found.append((folder / "checkpoint").exists())
        (folder / "checkpoint").touch()
        if len(found) == 1:
            raise ZeroDivisionError
        return {}

    for key in (1, 1):
        try:
            run.stage("tune", {"x": key}, tune, collective=True)
        except ZeroDivisionError:
            continue
    assert found == [False, True]


def test_what_another_recipe_left_is_not_resumed(recipe, tmp_path: Path) -> None:
    run, found = Run(tmp_path, recipe()), []

    def tune(folder: Path) -> dict[str, Any]:
        found.append((folder / "checkpoint").exists())
        (folder / "checkpoint").touch()
        raise ZeroDivisionError

    for key in (1, 2):
        with pytest.raises(ZeroDivisionError):
            run.stage("tune", {"x": key}, tune, collective=True)
    assert found == [False, False]


# --------------------------------------------------------------------------------------- recipe and data


def test_another_recipe_in_the_folder_is_named_by_its_keys(recipe, tmp_path: Path) -> None:
    Run(tmp_path, recipe()).close()
    with pytest.raises(RunError, match=r"changed: seed, tune\.epochs"):
        Run(tmp_path, recipe(seed=4, tune={"epochs": 9}))


def test_a_recipe_is_read_back_as_darl_reads_yaml(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    """By YAML 1.1 `no` is a truth value and 2024-01-01 a date."""
    data = {"train": {"path": world["train"], "where": {"day": "2024-01-01", "lang": "no"}}, "columns": {"item": "on"}}
    recipe = small_recipe(world, tiny_encoder, grades=["no", "partly", "yes"], data=data)
    Run(tmp_path, recipe).close()
    Run(tmp_path, recipe).close()


@pytest.mark.parametrize("change", [{"name": "b"}, {"output": "elsewhere"}, {"evaluate": {"bootstrap": 5}}])
def test_what_changes_no_result_may_change(change: dict[str, Any], recipe, tmp_path: Path) -> None:
    Run(tmp_path, recipe()).close()
    Run(tmp_path, recipe(**change)).close()


def test_a_refused_recipe_does_not_lock_the_folder(recipe, tmp_path: Path) -> None:
    Run(tmp_path, recipe()).close()
    with pytest.raises(RunError):
        Run(tmp_path, recipe(seed=4))
    Run(tmp_path, recipe()).close()


def test_an_unreadable_recipe_in_the_folder_is_named(recipe, tmp_path: Path) -> None:
    Run(tmp_path, recipe()).close()
    (tmp_path / "recipe.yaml").write_text("a: [")
    with pytest.raises(RunError, match=r"recipe\.yaml cannot be read"):
        Run(tmp_path, recipe())


def stage_times(run: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in (run / "stages").glob("*/stage.json")}


def redone(before: dict[str, int], run: Path) -> set[str]:
    return {name for name, time in stage_times(run).items() if before.get(name) != time}


@pytest.fixture(scope="module")
def half_an_epoch(world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; copy it before changing it."""
    run = tmp_path_factory.mktemp("half") / "run"
    fit(small_recipe(world, tiny_encoder, tune={"epochs": 0.5}), run=run, quiet=True)
    return run


@pytest.mark.parametrize(
    ("change", "affected"),
    [
        ({"decide": {"rule": "argmax"}}, {"interpolate", "finish"}),  # candidates are judged by the rule
        ({"interpolate": {"alphas": [0.7, 1.0]}}, {"interpolate", "finish"}),
        ({"objective": "qwk"}, {"probe", "tune-probe", "interpolate", "finish"}),  # it chooses the probe's λ too
        ({"probe": {"l2": [0.5]}}, {"probe", "tune-probe", "interpolate", "finish"}),
        ({"tune": {"learning_rate": 0.002}}, {"tune-random", "tune-probe", "interpolate", "finish"}),
        ({"tune": {"checkpoints": 2}}, set()),
    ],
    ids=["rule", "alphas", "objective", "probe", "learning rate", "checkpoints"],
)
def test_redo_does_again_only_what_is_affected(
    change: dict[str, Any], affected: set[str], recipe, half_an_epoch: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(half_an_epoch, tmp_path / "run"))
    before = stage_times(run)
    change = {**change, "tune": {"epochs": 0.5, **change.get("tune", {})}}
    with pytest.raises(RunError, match="another recipe"):
        fit(recipe(**change), run=run, quiet=True)
    fit(recipe(**change), run=run, redo=True, quiet=True)
    assert redone(before, run) == affected


def test_keeping_the_best_epoch_depends_on_the_objective(recipe, tmp_path: Path) -> None:
    best = {"tune": {"epochs": 1, "keep": "best", "start": "random"}}
    fit(recipe(**best), run=tmp_path, quiet=True)
    before = stage_times(tmp_path)
    fit(recipe(**best, objective="accuracy"), run=tmp_path, redo=True, quiet=True)
    assert "tune-random" in redone(before, tmp_path)


def test_changed_data_is_refused_and_redo_accepts_it(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    train = write_pairs(tmp_path / "train.jsonl", 8, prefix="yearly", seed=5)
    recipe = small_recipe({**world, "train": str(train)}, tiny_encoder, tune={"epochs": 0.5, "start": "random"})
    fit(recipe, run=tmp_path / "run", quiet=True)
    write_pairs(train, 8, prefix="yearly", seed=6)
    with pytest.raises(RunError, match="the data or a setting changed"):
        fit(recipe, run=tmp_path / "run", quiet=True)
    fit(recipe, run=tmp_path / "run", redo=True, quiet=True)


def test_a_backbone_written_anew_in_its_folder_is_another(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(tiny_encoder, tmp_path / "encoder")
    recipe = small_recipe(world, own, tune={"epochs": 0.5, "start": "random"})
    fit(recipe, run=tmp_path / "run", quiet=True)
    weights = load_file(own / "model.safetensors")
    save_file({name: tensor * 1.1 for name, tensor in weights.items()}, own / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match="the data or a setting changed"):
        fit(recipe, run=tmp_path / "run", quiet=True)


def test_columns_for_drift_are_part_of_the_finished_model(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    train = Path(shutil.copy(world["train"], tmp_path / "train.jsonl"))
    recipe = small_recipe({**world, "train": str(train)}, tiny_encoder, tune={"epochs": 0.5, "start": "random"})
    fit(recipe, run=tmp_path / "run", quiet=True)
    before = stage_times(tmp_path / "run")
    train.write_text("".join(line[:-1] + ', "shop": "uk"}\n' for line in train.read_text().splitlines()))
    fit(recipe, run=tmp_path / "run", redo=True, quiet=True)
    assert redone(before, tmp_path / "run") == {"finish"}
    known = RelevanceModel.from_pretrained(tmp_path / "run" / "model").ood.known  # type: ignore[union-attr]
    assert "shop" in known.columns


# ---------------------------------------------------------------------------------------------- the disk


def test_two_processes_cannot_write_one_run(recipe, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        ["flock", "--exclusive", str(tmp_path / ".lock"), "-c", "echo held; sleep 60"], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="another process is writing"):
            fit(recipe(), run=tmp_path, quiet=True)
    finally:
        holder.kill()
        holder.wait()


def test_a_folder_below_a_file_is_a_storage_error(recipe, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="a part of the path is a file"):
        fit(recipe(), run=tmp_path / "file" / "run", quiet=True)


def test_a_folder_that_cannot_be_made_is_a_storage_error(recipe) -> None:
    with pytest.raises(StorageError, match="/proc"):
        fit(recipe(), run="/proc/darl-run", quiet=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, left: int) -> None:
    """Leave ``left`` bytes free, by a file of what is too much."""
    path = disk / "filler"
    path.unlink(missing_ok=True)
    free = os.statvfs(disk)
    path.write_bytes(b"\0" * (free.f_bavail * free.f_frsize - left))


def test_a_full_disk_is_named_and_the_run_resumes_when_there_is_room(recipe, small_disk: Path) -> None:
    small = recipe(tune={"start": "random"}, ood={"enabled": False})
    # bytes left for the recipe, for the weights of the first checkpoint, then for one more checkpoint each time
    for left, whole in ((3_000, []), (100_000, []), (500_000, [4]), (500_000, [4, 8])):
        fill(small_disk, left)
        with pytest.raises(StorageError, match=r"no space is left|a checkpoint could not be written"):
            fit(small, run=small_disk / "run", quiet=True)
        found = (small_disk / "run" / "stages").glob("tune-random.partial/checkpoints/*")
        assert sorted(path.name for path in found) == [f"checkpoint-{step}" for step in whole]
    (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=40m", str(small_disk)], check=True)
    assert fit(small, run=small_disk / "run", quiet=True).model_path.is_dir()


def test_the_last_whole_checkpoint_survives_a_full_disk(
    recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = recipe(tune={"start": "random"}, ood={"enabled": False})
    undisturbed = fit(small, run=tmp_path / "undisturbed", quiet=True)
    real, calls = trainer.DarlTrainer._save_optimizer_and_scheduler, []

    def full(self, folder: str) -> None:
        calls.append(folder)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.DarlTrainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(StorageError, match="a checkpoint could not be written"):
            fit(small, run=tmp_path / "run", quiet=True)
    left = tmp_path / "run" / "stages" / "tune-random.partial" / "checkpoints"
    assert sorted(path.name for path in left.iterdir()) == ["checkpoint-4", "checkpoint-8"]
    resumed = fit(small, run=tmp_path / "run", quiet=True)
    one, two = (load_file(result.model_path / "model.safetensors") for result in (undisturbed, resumed))
    assert all((one[name] == two[name]).all() for name in one)
    choices = (read_json(result.folder / "metrics.json")["choices"] for result in (undisturbed, resumed))
    assert next(choices) == next(choices)


@pytest.mark.parametrize(
    ("error", "is_disk"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), True),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("os error"), False),
    ],
    ids=["the system", "torch's zip writer", "torch's old writer", "a defect", "another"],
)
def test_what_counts_as_a_failed_write(error: Exception, is_disk: bool) -> None:
    assert is_disk_error(error) is is_disk


def test_a_recipe_of_before_a_key_was_known_is_the_same_recipe(recipe, tmp_path: Path) -> None:
    Run(tmp_path, recipe()).close()
    path = tmp_path / "recipe.yaml"
    whole = yaml.safe_load(path.read_text(encoding="utf-8"))
    del whole["rounds"], whole["interpolate"]["before"], whole["data"]["train"][0]["cut"]
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    Run(tmp_path, recipe()).close()
    with pytest.raises(RunError, match="changed: seed"):
        Run(tmp_path, recipe(seed=5))
