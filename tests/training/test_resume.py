"""Killed or stopped at one point after another, the same fit ends with the same model, bit for bit."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from fit_worker import Kill
from own_process import assert_killed, assert_same_run, command_in_process, run_in_process
from small_world import recipe_dict

from darl.model import RelevanceModel
from darl.storage import read_json

STEP, SAVE = "darl.training.trainer:MarkWhole.on_step_end", "transformers:Trainer._save_optimizer_and_scheduler"

ALL = {"probe", "tune-random", "tune-probe", "interpolate", "finish"}
BEFORE = {
    "probe": set(),
    "tune-random": {"probe"},
    "tune-probe": {"probe", "tune-random"},
    "interpolate": {"probe", "tune-random", "tune-probe"},
    "finish": ALL - {"finish"},
    "publish": ALL,
}
# In the order in which a run comes to them; each kill is of the process that went on after the one before, and
# counts from there. 16 steps a tuning with a checkpoint every 4, of which two are kept.
POINTS = {
    "probe, written but not finished": ("probe", Kill("os:rename", argument="probe.partial")),
    "tune-random, before the first checkpoint": ("tune-random", Kill(STEP, 3)),
    "tune-random, while the second checkpoint is written": ("tune-random", Kill(SAVE, 2)),
    "tune-random, while the last checkpoints go": ("tune-random", Kill("os:unlink", 4, argument="optimizer.pt")),
    "tune-probe, between checkpoints": ("tune-probe", Kill(STEP, 11, argument="tune-probe")),
    "tune-probe, while the third checkpoint is written": ("tune-probe", Kill(SAVE, argument="tune-probe")),
    "tune-probe, while an old checkpoint goes": ("tune-probe", Kill("os:unlink", argument="optimizer.pt")),
    "interpolate, while choosing": ("interpolate", Kill("darl.training.learn:choose")),
    "finish, while the model is written": ("finish", Kill("darl.model.saving:plain_tokenizer_class")),
    "finish, written but not finished": ("finish", Kill("os:rename", argument="finish.partial ")),
    "publishing, half the files linked": ("publish", Kill("os:link", 3)),
    "publishing, before the metrics": ("publish", Kill("darl.training.one_run:atomic_write_json")),
}


def stage_files(run: Path) -> dict[str, int]:
    """The finished stages and when each was."""
    found = [path for path in (run / "stages").glob("*/stage.json") if path.parent.suffix != ".partial"]
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def recipe(world: dict[str, str], tiny_encoder: Path) -> dict[str, Any]:
    assert read_json(tiny_encoder / "config.json")["hidden_dropout_prob"] > 0  # or random states would not matter
    return recipe_dict(world, tiny_encoder)


@pytest.fixture(scope="module")
def undisturbed(recipe: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run_in_process(recipe, run) == 0
    return run


@pytest.mark.timeout(1200)  # thirteen processes, one after another
def test_killed_at_every_point_it_ends_with_the_same_model(
    recipe: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    run, before = tmp_path / "run", {}
    for point, (stage, kill) in POINTS.items():
        assert_killed(recipe, run, kill)
        after = stage_files(run)
        assert set(after) == BEFORE[stage], point
        assert before.items() <= after.items(), point
        assert not (run / "metrics.json").exists(), point
        before = after
    assert run_in_process(recipe, run) == 0
    assert stage_files(run) == before
    assert_same_run(run, undisturbed)


def test_a_finished_run_that_is_done_again_has_the_old_or_the_new_model_at_any_time(
    recipe: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    def rule() -> str:
        return RelevanceModel.from_pretrained(run / "model").provenance["recipe"]["decide"]["rule"]

    run, changed = Path(shutil.copytree(undisturbed, tmp_path / "run")), {**recipe, "decide": {"rule": "argmax"}}
    old = rule()
    assert old != "argmax"
    for kill in (Kill("os:link", 3), Kill("os:rename", argument=".model.darl-old", after=True)):
        assert_killed(changed, run, kill, redo=True)
        assert rule() == old
    assert not (run / "model").exists()  # it is found beside
    assert run_in_process(changed, run, redo=True) == 0
    assert rule() == "argmax"
    assert {path.name for path in run.iterdir()} == {path.name for path in undisturbed.iterdir()}


def test_killed_while_matching_it_resumes_to_the_same_model(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    match = {"enabled": True, "pairs": 200, "learning_rate": 0.003}
    recipe = recipe_dict(world, tiny_encoder, match=match, tune={"start": "probe"}, ood={"enabled": False})
    assert run_in_process(recipe, tmp_path / "undisturbed") == 0
    for kill in (Kill(STEP, 12), Kill("darl.training.match:save_file")):  # learnt, and not written down
        assert_killed(recipe, tmp_path / "run", kill)
        assert stage_files(tmp_path / "run") == {}
    assert run_in_process(recipe, tmp_path / "run") == 0
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")


# kind of tuning: its backbone, what it changes in the recipe, and where it is killed
STOPS = {"keep": "best", "patience": 1, "epochs": 20, "learning_rate": 0.01}
KINDS = {
    "best epoch": ("tiny_encoder", {"tune": {"start": "random", "keep": "best", "epochs": 3}}, [Kill(STEP, 13)]),
    "stopped early": (
        "tiny_encoder",
        {"tune": {"start": "random", **STOPS}},
        [Kill(STEP, 13), Kill("darl.training.trainer:mean_loss")],  # on the way, and when it had stopped
    ),
    "LoRA": ("tiny_encoder", {"tune": {"start": "random", "kind": "lora"}}, [Kill(STEP, 7)]),
    "verbalizer": ("tiny_decoder", {"method": "verbalizer"}, [Kill(STEP, 7)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_tuning_resumes(
    kind: str, world: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    backbone, changes, kills = KINDS[kind]
    recipe = recipe_dict(world, request.getfixturevalue(backbone), **changes, ood={"enabled": False})
    assert run_in_process(recipe, tmp_path / "undisturbed") == 0
    if kind == "stopped early":
        assert 8 < read_json(tmp_path / "undisturbed" / "metrics.json")["choices"]["tune-random"]["steps"] < 160
    for kill in kills:
        assert_killed(recipe, tmp_path / "run", kill)
    assert run_in_process(recipe, tmp_path / "run") == 0
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")


def test_the_command_stopped_by_a_signal_says_how_to_go_on_and_goes_on(
    recipe: dict[str, Any], undisturbed: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    command = ["fit", str(tmp_path / "recipe.yaml"), "--run", str(run)]
    for code, stage, kill in (
        (130, "tune-random", Kill(STEP, 6, by=signal.SIGINT)),  # between two checkpoints
        (143, "tune-probe", Kill(SAVE, argument="tune-probe", by=signal.SIGTERM)),  # while one is written
    ):
        found, out, err = command_in_process(command, tmp_path, kill)
        assert (found, out) == (code, ""), err
        assert err.splitlines()[-1] == "stopped: nothing half-written is left; the same command resumes"
        assert "Traceback" not in err
        assert set(stage_files(run)) == BEFORE[stage]
        assert [path.name for path in run.rglob("*.partial")] == [f"{stage}.partial"]
        assert not (run / "model").exists()
    found, out, err = command_in_process(command, tmp_path)
    assert found == 0, err
    assert "(done before)" in err
    assert str(run / "model") in out
    assert_same_run(run, undisturbed)
