"""evaluate and compare: the figures are those of the scores, splits and filters go where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from darl.errors import DataError, ModelError
from darl.evaluation import accuracy
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.saving import model_folder
from darl.pairs import PairTable, read_pairs
from darl.verbs.compare import compare, model_names
from darl.verbs.evaluate import OOD_SLICE, evaluate, filter_of
from darl.verbs.inputs import as_model
from small_model import make_small_model, write_graded_csv


@pytest.fixture(scope="module")
def small_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_encoder, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def graded_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_graded_csv(tmp_path_factory.mktemp("graded"))


@pytest.fixture(scope="module")
def model(small_model: Path) -> RelevanceModel:
    return as_model(small_model)


def test_the_figures_are_those_of_the_scores(model: RelevanceModel, graded_csv: Path) -> None:
    found = evaluate(model, graded_csv, slices=["domain"], bootstrap=20, min_slice=5)
    table = read_pairs(graded_csv, scale=model.scale)
    scores = model.score(table, ood=False)
    split = found.splits["test"]
    assert (split.pairs, split.queries, found.id_split) == (60, 6, None)
    assert split.metrics["accuracy"].estimate == pytest.approx(accuracy(table.grades, scores.grades, 3))
    assert {(one.column, one.value) for one in split.slices if one.column == "domain"} == {
        ("domain", "pets"),
        ("domain", "shoes"),
    }
    assert any(one.column == OOD_SLICE for one in split.slices)
    without = evaluate(model, table, bootstrap=0, ood=False, min_slice=5)
    assert without.splits["pairs"].slices == ()
    assert without.splits["pairs"].metrics["nll"].estimate == pytest.approx(split.metrics["nll"].estimate)


def test_several_splits_have_a_gap_and_filters_of_their_own(model: RelevanceModel, graded_csv: Path) -> None:
    where = {"id": {"domain": "pets"}, "far": {"domain": "shoes"}}
    found = evaluate(model, {"id": graded_csv, "far": graded_csv}, where=where, bootstrap=20)
    assert [split.pairs for split in found.splits.values()] == [30, 30]
    assert found.id_split == "id"
    gap = found.splits["id"].metrics["nll"].estimate - found.splits["far"].metrics["nll"].estimate
    assert found.gap["far"]["nll"].estimate == pytest.approx(gap)
    chosen = evaluate(model, {"id": graded_csv, "far": graded_csv}, id_split="far", bootstrap=0, ood=False)
    assert list(chosen.gap) == ["id"]


def test_filter_of_a_column_named_like_a_split() -> None:
    assert filter_of("id", ["id"], {"id": "7"}) == {"id": "7"}


def test_what_evaluate_refuses(model: RelevanceModel, graded_csv: Path) -> None:
    with pytest.raises(DataError, match="choose from a, b"):
        evaluate(model, {"a": graded_csv, "b": graded_csv}, id_split="c")
    with pytest.raises(DataError, match="slice by"):
        evaluate(model, graded_csv, slices=["brand"])
    with pytest.raises(DataError, match="no grade"):
        evaluate(model, PairTable.from_pairs(["a"], ["b"]))
    with pytest.raises(DataError, match="filter the table itself"):
        evaluate(model, PairTable.from_pairs(["a"], ["b"], [1]), where={"x": 1})
    with pytest.raises(DataError, match="no split"):
        evaluate(model, {})
    with pytest.raises(ModelError, match="no such model"):
        evaluate("nowhere", graded_csv)


def test_a_model_against_itself_and_against_a_sharper_one(
    model: RelevanceModel, small_model: Path, graded_csv: Path
) -> None:
    same = compare(model, model, graded_csv, bootstrap=50)
    assert {row.better for row in same.metrics.values()} == {None}
    other = as_model(small_model)
    other.divide_logits(0.05)  # wrong and sure of it
    found = compare(model, other, graded_csv, names=("calm", "sure"), bootstrap=200)
    assert found.metrics["nll"].better == "a"
    assert "calm is better" in found.metrics["nll"].verdict
    assert found.metrics["accuracy"].difference.difference.estimate == pytest.approx(0)


def test_models_of_other_grades_are_not_compared(model: RelevanceModel, tiny_encoder: Path, graded_csv: Path) -> None:
    other = RelevanceModel.from_backbone(str(tiny_encoder), GradeScale(("no", "yes")), max_length=64)
    with pytest.raises(ModelError, match="different scales"):
        compare(model, other, graded_csv)


def test_names_and_folders(small_model: Path, tmp_path: Path) -> None:
    assert model_names("a/model", "a/model") == ("A", "B")
    assert model_names(np.zeros(1), "a") == ("A", "B")
    (tmp_path / "model").symlink_to(small_model)
    assert model_folder(tmp_path) == tmp_path / "model"
    assert as_model(tmp_path).scale.size == 3
