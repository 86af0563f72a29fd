"""Distillation: the teacher grades what has no grade, its probabilities are the targets, and a kill loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_world import small_recipe, write_pairs
from typer.testing import CliRunner, Result

from darl.cli.main import app
from darl.errors import DarlError, RecipeError
from darl.losses import make_loss
from darl.model import RelevanceModel
from darl.pairs import read_pairs
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.storage import read_json
from darl.training.distil import distil
from darl.training.opinion_pool import pool_weights
from darl.training.pipeline import FitResult, fit
from darl.training.run import Run
from darl.training.splits import load_splits
from darl.training.teacher import teach

QUICK = ["tune.epochs=2", "tune.batch_size=12", "tune.learning_rate=0.003", "probe.l2=[0.1]", "evaluate.bootstrap=0"]
OTHERS_ONLY = [*QUICK, "teacher.itself=false"]


@pytest.fixture(scope="module")
def teacher(world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    recipe = small_recipe(world, tiny_encoder, tune={"start": "probe"}, ood={"enabled": False})
    return fit(recipe, run=tmp_path_factory.mktemp("teachers") / "teacher", quiet=True)


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pairs without grades."""
    graded = write_pairs(tmp_path_factory.mktemp("traffic") / "graded.jsonl", 20, prefix="train", seed=9)
    rows = [json.loads(line) for line in graded.read_text().splitlines()]
    path = graded.with_name("traffic.jsonl")
    path.write_text("".join(json.dumps({"query": row["query"], "item": row["item"]}) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def student(
    teacher: FitResult,
    world: dict[str, str],
    traffic: Path,
    tiny_encoder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> FitResult:
    return distil(
        teacher.folder,
        [world["train"], str(traffic)],
        run=tmp_path_factory.mktemp("students") / "student",
        backbone=str(tiny_encoder),
        dev_id=world["dev_id"],
        tests={"id": world["test_id"]},
        overrides=OTHERS_ONLY,
        quiet=True,
    )


def test_targets_are_what_the_teacher_says(teacher: FitResult, student: FitResult, traffic: Path) -> None:
    said = load_file(student.folder / "stages/teacher/said.safetensors")
    model = RelevanceModel.from_pretrained(teacher.model_path)
    expected = model.score(read_pairs(traffic, scale=model.scale, require_grades=False), ood=False)
    np.testing.assert_allclose(said["train_probabilities"][-60:], expected.probabilities, atol=1e-5)
    np.testing.assert_array_equal(said["train_grades"][-60:], expected.grades)


def test_the_student_is_a_model_like_any_other(teacher: FitResult, student: FitResult) -> None:
    model = RelevanceModel.from_pretrained(student.model_path)
    assert model.scale == RelevanceModel.from_pretrained(teacher.model_path).scale
    assert model.ood is not None
    assert student.metrics["sizes"]["train"] == 96 + 60
    assert student.evaluation is not None


def test_the_teacher_counts(student: FitResult, tmp_path: Path) -> None:
    """The share given to the teacher changes what is learnt, and stands in the stage's key."""
    recipe = Recipe.model_validate_json(json.dumps(_recipe(student.folder)))
    other = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"share": 0.0})})  # type: ignore[union-attr]
    mean = fit(other, run=tmp_path / "unheard", quiet=True)
    a, b = (load_file(run.folder / "stages/tune-random/network.safetensors") for run in (student, mean))
    assert any(not np.allclose(a[name], b[name]) for name in a)
    keys = [read_json(run.folder / "stages/tune-random/stage.json")["key"] for run in (student, mean)]
    assert keys[0] != keys[1]


def test_the_same_call_finds_it_done(student: FitResult) -> None:
    before = (student.folder / "stages/tune-random/network.safetensors").stat().st_mtime_ns
    again = fit(Recipe.model_validate(_recipe(student.folder)), run=student.folder, quiet=True)
    assert (again.folder / "stages/tune-random/network.safetensors").stat().st_mtime_ns == before


def test_no_grade_at_all_is_enough(
    teacher: FitResult, world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    """Texts alone, which the teacher knows well enough to give every grade to some."""
    rows = [json.loads(line) for name in ("train", "dev_ood") for line in Path(world[name]).read_text().splitlines()]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"query": row["query"], "item": row["item"]}) + "\n" for row in rows))
    run = distil(
        teacher.model_path, texts, run=tmp_path / "r", backbone=str(tiny_encoder),
        overrides=[*QUICK, "data.split.dev_id=0.3"], quiet=True,
    )  # fmt: skip
    assert run.evaluation is None
    said = load_file(run.folder / "stages/teacher/said.safetensors")
    assert set(np.unique(said["dev_id_grades"])) == {0, 1, 2}


@pytest.fixture(scope="module")
def commanded(
    teacher: FitResult,
    student: FitResult,
    world: dict[str, str],
    traffic: Path,
    tiny_encoder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Result]:
    """The run of a command that names two teachers, and what it said."""
    run = tmp_path_factory.mktemp("commanded") / "r"
    command = [
        "distil", str(teacher.folder), world["train"], str(traffic), "--also", str(student.folder), "--run", str(run),
        "--backbone", str(tiny_encoder), "--dev-id", world["dev_id"], "--test", f"id={world['test_id']}",
    ]  # fmt: skip
    for change in [*OTHERS_ONLY, "ood.enabled=false"]:
        command += ["--set", change]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return run, done


def test_several_teachers_speak_as_one(commanded: tuple[Path, Result], world: dict[str, str], traffic: Path) -> None:
    """Their probabilities are mixed, each with a weight of dev_id; a teacher that adds nothing is not heard."""
    run, _ = commanded
    asked = [read_json(run / f"stages/{name}/stage.json")["result"] for name in ("teacher", "teacher-2")]
    models = [RelevanceModel.from_pretrained(one["model"]) for one in asked]
    dev = read_pairs(world["dev_id"], scale=models[0].scale)
    weights = pool_weights(dev.grades, np.stack([model.score(dev, ood=False).probabilities for model in models]))
    assert sum(weights) == pytest.approx(1)
    table = read_pairs(traffic, scale=models[0].scale, require_grades=False)
    expected = sum(w * m.score(table, ood=False).probabilities for w, m in zip(weights, models, strict=True))
    assert all(0 <= one["dev"]["macro-F1"] <= 1 and one["dev"]["NLL"] > 0 for one in asked)
    recipe = Recipe.model_validate(_recipe(run))
    with Run(run, recipe) as opened:
        splits, stages = teach(recipe, load_splits(recipe), opened, Reporter(quiet=True))
    assert all(stage.reused for stage in stages)
    assert read_json(run / "metrics.json")["teachers"] == pytest.approx(
        {one["model"]: weight for one, weight in zip(asked, weights, strict=True)}
    )
    assert splits.taught is not None
    np.testing.assert_allclose(splits.taught.probabilities[-60:], expected, atol=1e-5)


def test_the_student_is_one_of_its_own_teachers(
    teacher: FitResult, world: dict[str, str], traffic: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Fitted on the graded pairs alone, exactly as without a teacher, it is asked like the others."""
    more = {"backbone": str(tiny_encoder), "dev_id": world["dev_id"], "overrides": QUICK, "quiet": True}
    run = distil(teacher.folder, [world["train"], str(traffic)], run=tmp_path / "r", **more)  # type: ignore[arg-type]
    said = {name: load_file(run.folder / f"stages/{name}/said.safetensors") for name in ("teacher", "alone")}
    recipe = Recipe.model_validate(_recipe(run.folder))
    graded_only = recipe.data.model_copy(update={"train": recipe.data.train[:1]})
    plain = fit(
        recipe.model_copy(update={"teacher": None, "data": graded_only}), run=tmp_path / "plain", quiet=True
    )  # fmt: skip
    model = RelevanceModel.from_pretrained(plain.model_path)
    table = read_pairs(traffic, scale=model.scale, require_grades=False)
    expected = model.score(table, ood=False).probabilities
    np.testing.assert_allclose(said["alone"]["train_probabilities"][-60:], expected, atol=1e-5)
    dev = read_pairs(world["dev_id"], scale=model.scale)
    weights = pool_weights(dev.grades, np.stack([one["dev_id_probabilities"] for one in said.values()]))
    assert list(run.metrics["teachers"].values()) == pytest.approx(weights.tolist(), abs=1e-6)
    assert list(run.metrics["choices"])[:2] == ["teacher", "alone"]
    # killed and run again, neither its fit nor its answers are made anew
    made = (run.folder / "alone/stages/tune-random/network.safetensors").stat().st_mtime_ns
    again = fit(recipe, run=run.folder, quiet=True)
    assert (again.folder / "alone/stages/tune-random/network.safetensors").stat().st_mtime_ns == made


def test_too_few_grades_to_learn_alone(
    teacher: FitResult, world: dict[str, str], traffic: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Graded pairs that lack a grade cannot be fitted: said, and the other teachers teach."""
    rows = [json.loads(line) for line in Path(world["train"]).read_text().splitlines()]
    lame = tmp_path / "lame.jsonl"
    lame.write_text("".join(json.dumps(row) + "\n" for row in rows if row["grade"] != rows[0]["grade"]))
    command = [
        "distil", str(teacher.folder), str(lame), str(traffic), "--run", str(tmp_path / "r"),
        "--backbone", str(tiny_encoder), "--dev-id", world["dev_id"],
    ]  # fmt: skip
    for change in [*QUICK, "ood.enabled=false"]:
        command += ["--set", change]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "alone: not asked, the graded pairs do not suffice: train: no pair has the grade" in " ".join(
        done.stderr.split()
    )
    assert not (tmp_path / "r/stages/alone").exists()


def test_from_the_command_line(teacher: FitResult, student: FitResult, commanded: tuple[Path, Result]) -> None:
    run, done = commanded
    told = " ".join(done.stderr.split())
    assert f"teacher {teacher.model_path}, dev_id macro-F1" in told
    assert f"teacher-2 {student.model_path}, dev_id macro-F1" in told
    assert f"next:  darl compare {teacher.folder} {run / 'model'} TEST" in done.stdout


def test_a_teacher_of_other_grades_is_refused(
    teacher: FitResult, world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(world, tiny_encoder, grades=["bad", "fair", "good"], teacher={"model": str(teacher.folder)})
    with pytest.raises(RecipeError, match="the teacher grades irrelevant"):
        fit(recipe, run=tmp_path / "r", quiet=True)


def test_a_missing_teacher_and_a_verbalizer_are_named(
    teacher: FitResult, world: dict[str, str], tiny_decoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DarlError, match="nowhere"):
        distil(tmp_path / "nowhere", world["train"], run=tmp_path / "r", quiet=True)
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", teacher={"model": str(teacher.folder)})
    with pytest.raises(RecipeError, match="method=head"):
        fit(recipe, run=tmp_path / "v", quiet=True)


@pytest.mark.parametrize("name", ["cross_entropy", "occ", "squared_emd"])
def test_a_sure_teacher_is_a_label(name: str) -> None:
    """Against one-hot targets the expected cost is the cost of the grade (for OCC: with hard targets)."""
    import torch

    loss = make_loss(name, 3, **({"sharpness": 50.0} if name == "occ" else {}))
    logits, grades = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1, 0])
    soft = loss(logits, grades, targets=torch.eye(3)[grades])
    torch.testing.assert_close(soft, loss(logits, grades))
    half = loss(logits, grades, targets=torch.full((5, 3), 1 / 3), share=torch.zeros(5))
    torch.testing.assert_close(half, loss(logits, grades))


def test_the_least_soft_cost_is_at_the_teachers_probabilities() -> None:
    """Both terms of OCC are proper against the teacher: no other distribution costs less."""
    import torch

    targets = torch.tensor([[0.2, 0.5, 0.3]])
    for name in ("cross_entropy", "occ"):
        loss = make_loss(name, 3)
        best = loss(targets.log(), torch.tensor([1]), targets=targets)
        for step in torch.randn(50, 3, generator=torch.Generator().manual_seed(1)):
            assert loss(targets.log() + 0.3 * step, torch.tensor([1]), targets=targets) >= best - 1e-6


def _recipe(run: Path) -> dict:
    import yaml

    return yaml.safe_load((run / "recipe.yaml").read_text())
