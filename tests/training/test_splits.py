"""The splits of a run: cut by query, held apart, complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_world import GRADES, small_recipe, write_pairs

from darl.errors import DataError, EmptySplitError, LeakError, MissingGradeError
from darl.recipe.settings import Recipe
from darl.training.splits import load_splits


def splits_of(data: dict[str, Any]):
    return load_splits(Recipe.model_validate({"grades": GRADES, "data": data}))


def write_rows(path: Path, rows: list[tuple[str, str, Any]], **columns: list[Any]) -> str:
    with path.open("w", encoding="utf-8") as file:
        for index, (query, item, grade) in enumerate(rows):
            more = {name: values[index] for name, values in columns.items()}
            file.write(json.dumps({"query": query, "item": item, "grade": grade, **more}) + "\n")
    return str(path)


def queries(table) -> set[str]:
    return set(table.query_names())


def test_the_files_of_a_recipe_are_its_splits(world: dict[str, str], tiny_encoder: Path) -> None:
    splits = load_splits(small_recipe(world, tiny_encoder))
    assert splits.sizes() == {"train": 96, "dev_id": 36, "dev_ood": 36, "test id": 36, "test far": 36}
    assert splits.told().startswith("train 96 (32 queries), dev_id 36 (12 queries), dev_ood 36 (12 queries), test id")


def test_few_queries_to_choose_by_are_told(world: dict[str, str], tiny_encoder: Path) -> None:
    warning = load_splits(small_recipe(world, tiny_encoder)).warning()
    assert "12 queries alone" in str(warning)


def test_an_automatic_cut_shares_no_query(world: dict[str, str]) -> None:
    splits = splits_of({"train": world["train"]})
    parts = [splits.train, splits.dev_id, splits.tests["id"]]
    assert sum(map(len, parts)) == 96
    for i, one in enumerate(parts):
        for other in parts[i + 1 :]:
            assert not queries(one) & queries(other)


def test_an_automatic_cut_leaves_no_test_where_tests_are_given(world: dict[str, str]) -> None:
    splits = splits_of({"train": world["train"], "tests": {"far": world["test_far"]}})
    assert list(splits.tests) == ["far"]
    assert len(splits.train) + len(splits.dev_id) == 96


@pytest.mark.parametrize("seed", range(10))
def test_what_judges_a_student_is_cut_off_the_graded_queries(seed: int, tmp_path: Path) -> None:
    rows = [{"query": f"graded {i}", "item": "a", "grade": i % 3} for i in range(20)]
    rows += [{"query": f"traffic {i}", "item": "a"} for i in range(300)] + [{"query": "graded 0", "item": "b"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"train": str(path), "sample_seed": seed}
    splits = load_splits(Recipe.model_validate({"grades": GRADES, "data": data, "teacher": {"model": "runs/teacher"}}))
    assert len(splits.dev_id) == len(splits.tests["id"]) == 2
    assert splits.dev_id.has_grades
    assert splits.tests["id"].has_grades
    assert len(splits.train) in (316, 317)


@pytest.mark.parametrize("graded", ["half the pairs of each query", "one query"])
def test_pairs_without_a_grade_judge_only_where_hardly_any_has_one(graded: str, tmp_path: Path) -> None:
    rows = [{"query": f"q{i // 2}", "item": f"i{i}"} for i in range(60)]
    for i, row in enumerate(rows):
        if (i % 2 == 0 and graded != "one query") or i == 0:
            row["grade"] = i // 2 % 3
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {"grades": GRADES, "data": {"train": str(path)}, "teacher": {"model": "runs/teacher"}}
    splits = load_splits(Recipe.model_validate(recipe))
    assert len(splits.dev_id.query_names()) == 3
    if graded == "one query":  # the teacher grades dev, and nothing can be tested
        assert splits.tests == {}
    else:
        assert splits.dev_id.has_grades
        assert splits.tests["id"].has_grades


def test_an_automatic_cut_depends_on_the_sample_seed_alone(world: dict[str, str]) -> None:
    one, two = (splits_of({"train": world["train"], "sample_seed": 3}) for _ in range(2))
    other = splits_of({"train": world["train"], "sample_seed": 4})
    assert one.fingerprints() == two.fingerprints()
    assert one.fingerprints() != other.fingerprints()


@pytest.mark.parametrize("split", ["dev_id", "dev_ood", "tests"])
def test_a_query_of_train_in_an_evaluation_split_is_a_leak(split: str, world: dict[str, str], tmp_path: Path) -> None:
    rows = [("TRAVEL  insurance 3", f"item {grade}", grade) for grade in range(3)]
    leaking = write_rows(tmp_path / "leak.jsonl", rows)
    data: dict[str, Any] = {"train": world["train"], "dev_id": world["dev_id"]}
    data |= {"tests": {"near": leaking}} if split == "tests" else {split: leaking}
    with pytest.raises(LeakError, match="travel insurance 3"):
        splits_of(data)


@pytest.mark.parametrize("split", ["train", "dev_id"])
def test_a_split_that_lacks_a_grade_is_named(split: str, world: dict[str, str], tmp_path: Path) -> None:
    lacking = write_rows(tmp_path / "two.jsonl", [("hose", "a", 0), ("hose", "b", 2)])
    with pytest.raises(MissingGradeError, match=f"{split}: no pair has the grade weak"):
        splits_of({"train": world["train"], "dev_id": world["dev_id"], split: lacking})


@pytest.mark.parametrize("seed", range(20))
def test_a_rare_grade_is_in_train_and_in_dev(seed: int, tmp_path: Path) -> None:
    rows = [(f"query {i}", f"item {j}", 2 if i < 2 and j == 0 else j % 2) for i in range(30) for j in range(4)]
    data = {"train": write_rows(tmp_path / "rare.jsonl", rows), "sample_seed": seed}
    splits = splits_of(data)
    parts = [splits.train, splits.dev_id, splits.tests["id"]]
    assert {2 in table.grades for table in parts[:2]} == {True}
    assert sorted(name for table in parts for name in table.query_names()) == sorted({query for query, *_ in rows})
    assert len(splits.dev_id.query_names()) in (2, 3, 4)
    assert splits_of(data).fingerprints() == splits.fingerprints()


def test_a_grade_of_one_query_alone_is_named_with_its_mend(tmp_path: Path) -> None:
    rows = [(f"query {i}", f"item {j}", 2 if i == 0 else j % 2) for i in range(30) for j in range(4)]
    with pytest.raises(MissingGradeError, match="train: too few queries have the grade strong"):
        splits_of({"train": write_rows(tmp_path / "one.jsonl", rows)})


def test_a_shifted_dev_set_may_lack_a_grade(world: dict[str, str], tmp_path: Path) -> None:
    lacking = write_rows(tmp_path / "two.jsonl", [("hose", "a", 0), ("hose", "b", 2)])
    splits = splits_of({"train": world["train"], "dev_id": world["dev_id"], "dev_ood": lacking})
    assert splits.sizes()["dev_ood"] == 2


@pytest.mark.parametrize("split", ["train", "dev_id", "dev_ood"])
def test_an_empty_split_is_named(split: str, world: dict[str, str]) -> None:
    nothing = {"path": world["test_far"], "where": {"grade": 7}}
    with pytest.raises(EmptySplitError, match="test_far"):
        splits_of({"train": world["train"], "dev_id": world["dev_id"], split: nothing})


def test_an_empty_test_set_is_named(world: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(EmptySplitError, match=r"empty\.jsonl"):
        splits_of({"train": world["train"], "dev_id": world["dev_id"], "tests": {"e": str(tmp_path / "empty.jsonl")}})


def test_too_few_queries_to_cut_are_named(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "one.jsonl", [("hose", "a", 0), ("hose", "b", 1), ("hose", "c", 2)])
    with pytest.raises(EmptySplitError, match="train: too few queries to cut dev_id and test_id off them: 1"):
        splits_of({"train": path})


def test_a_label_off_the_scale_is_named_with_its_place(world: dict[str, str], tmp_path: Path) -> None:
    wrong = write_rows(tmp_path / "wrong.jsonl", [("hose", "a", 0), ("hose", "b", 9)])
    with pytest.raises(DataError, match=r"wrong\.jsonl") as caught:
        splits_of({"train": wrong, "dev_id": world["dev_id"]})
    assert "9" in str(caught.value)
    assert "2" in str(caught.value)


def test_a_grade_word_off_the_scale_is_named(world: dict[str, str], tmp_path: Path) -> None:
    wrong = write_rows(tmp_path / "wrong.jsonl", [("hose", "a", "weak"), ("hose", "b", "superb")])
    with pytest.raises(DataError, match="superb"):
        splits_of({"train": wrong, "dev_id": world["dev_id"]})


# ----------------------------------------------------------------------------------------------- weights


def test_a_source_weighs_its_pairs_and_the_others_weigh_1(world: dict[str, str], tmp_path: Path) -> None:
    more = str(write_pairs(tmp_path / "more.jsonl", 4, prefix="yearly", seed=9))
    splits = splits_of({"train": [world["train"], {"path": more, "weight": 3}], "dev_id": world["dev_id"]})
    assert splits.train.weights is not None
    assert splits.train.weights.tolist() == [1.0] * 96 + [3.0] * 12


def test_a_sources_weight_multiplies_the_files_own(world: dict[str, str], tmp_path: Path) -> None:
    rows = [("hose", "a", 0), ("hose", "b", 1), ("hose", "c", 2)]
    own = write_rows(tmp_path / "own.jsonl", rows, weight=[1.0, 0.5, 4.0])
    splits = splits_of({"train": {"path": own, "weight": 2}, "dev_id": world["dev_id"]})
    assert splits.train.weights is not None
    assert splits.train.weights.tolist() == [2.0, 1.0, 8.0]


def test_without_weights_there_is_no_weight_column(world: dict[str, str]) -> None:
    assert splits_of({"train": world["train"], "dev_id": world["dev_id"]}).train.weights is None


def test_weights_change_the_fingerprint(world: dict[str, str]) -> None:
    plain = splits_of({"train": world["train"], "dev_id": world["dev_id"]})
    heavy = splits_of({"train": {"path": world["train"], "weight": 2}, "dev_id": world["dev_id"]})
    assert plain.fingerprints()["train"] != heavy.fingerprints()["train"]


def test_a_sample_is_drawn_by_the_sample_seed(world: dict[str, str]) -> None:
    data = {"train": {"path": world["train"], "sample": 60}, "dev_id": world["dev_id"]}
    one, two, other = (splits_of({**data, "sample_seed": seed}) for seed in (0, 0, 1))
    assert len(one.train) == 60
    assert one.fingerprints() == two.fingerprints()
    assert one.fingerprints() != other.fingerprints()
