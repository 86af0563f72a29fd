"""Recipe files: overrides, paths, every problem at once, and the way back to YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.errors import DataError, GradeError, RecipeError, StorageError
from darl.recipe.file import load_recipe, parse_recipe, recipe_schema, recipe_to_yaml
from darl.recipe.guess import guess_data
from darl.recipe.problems import InvalidRecipeError
from darl.recipe.settings import Recipe
from darl.recipe.template import recipe_template

SMALL = "grades: [irrelevant, weak, strong]\ndata: {train: /d/train.csv}\n"
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda t: t.strip() == t)


# ------------------------------------------------------------------------------------------ round trip


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    grades = draw(st.lists(NAMES, min_size=2, max_size=5, unique_by=str.casefold))
    gains = draw(st.just([]) | st.just([float(k * k) for k in range(len(grades))]))
    source = st.fixed_dictionaries(
        {"path": st.sampled_from(["/d/a.csv", "hf://owner/set:test", "/d/*.jsonl", ["/d/a.csv", "/d/b.csv"]])},
        optional={
            "where": st.dictionaries(NAMES, NAMES | st.integers() | st.booleans(), max_size=2),
            "sample": st.integers(1, 10**6),
            "weight": st.floats(0.01, 100),
        },
    )
    data = {"train": draw(st.lists(source, min_size=1, max_size=3)), "tests": draw(st.dictionaries(NAMES, source))}
    data["dev_id"] = draw(st.none() | source)
    loss = {"name": draw(NAMES), "params": draw(st.dictionaries(NAMES, st.floats(allow_nan=False) | NAMES, max_size=2))}
    tune = {"epochs": draw(st.floats(0.01, 50)), "learning_rate": draw(st.floats(1e-9, 1)), "kind": "lora"}
    whole = {"name": draw(NAMES), "grades": {"names": grades, "gains": gains}, "data": data, "loss": loss, "tune": tune}
    return Recipe.model_validate(whole)


@given(recipes())
@settings(max_examples=50)
def test_a_dumped_recipe_is_read_the_same(recipe: Recipe) -> None:
    assert parse_recipe(recipe_to_yaml(recipe)) == recipe


def test_the_dump_names_every_key() -> None:
    text = recipe_to_yaml(parse_recipe(SMALL))
    assert "    r: 16\n" in text
    assert "min_gain: 0.005" in text


def test_the_tests_that_the_template_suggests_begin_with_the_id_test() -> None:
    text = recipe_template()
    for key in ("dev_ood:", "tests:", "  id:", "  shifted:"):
        text = text.replace(f"  # {key}", f"  {key}")
    assert list(parse_recipe(text, folder="/somewhere").data.tests) == ["id", "shifted"]
    assert "darl fit recipe.yaml tune.epochs=1 --run" in text  # in the real run's folder the real fit would be refused


def test_the_template_is_a_recipe() -> None:
    recipe = parse_recipe(recipe_template(), folder="/somewhere")
    assert recipe.data.train[0].path == "/somewhere/data/train.jsonl"
    assert recipe.data.columns["item"] == "title"
    odd = recipe_template(name="a: b", train="x #1.csv", columns={}, grades=["no", "1", "ja, sehr"], backbone="./m")
    recipe = parse_recipe(odd, folder="/r")
    assert (recipe.name, recipe.grades.names) == ("a: b", ["no", "1", "ja, sehr"])
    assert (recipe.data.train[0].path, recipe.backbone.name) == ("/r/x #1.csv", "/r/m")


# ------------------------------------------------------------------------------------- paths, overrides


def test_paths_are_meant_from_the_recipe_and_overrides_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "r.yaml"
    file.write_text(
        "grades: [a, b]\nbackbone: ./bert\ninterpolate: {start: ../runs/old/model}\ndata:\n"
        "  train: [one.csv, {path: ../two/*.csv, weight: 2}]\n  pool: hf://owner/set\n"
        "  tests: {id: /abs/id.csv, far: [x.csv, y.csv]}\n"
    )
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(file, ["data.tests.far=near/z.csv", "data.dev_id.path=dev.csv"])
    base = tmp_path.resolve()
    assert [source.path for source in recipe.data.train] == [f"{base}/recipes/one.csv", f"{base}/two/*.csv"]
    assert recipe.data.pool is not None
    assert recipe.data.pool.path == "hf://owner/set"
    assert recipe.data.tests["id"].path == "/abs/id.csv"
    assert recipe.data.tests["far"].path == f"{base}/near/z.csv"
    assert recipe.data.dev_id is not None
    assert recipe.data.dev_id.path == f"{base}/dev.csv"
    assert recipe.backbone.name == f"{base}/recipes/bert"
    assert recipe.interpolate.start == f"{base}/runs/old/model"
    assert recipe.output == "runs/{name}"
    assert load_recipe(file, ["backbone=minilm-l6"]).backbone.name == "minilm-l6"


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("tune.epochs=1", "tune.epochs", 1.0),
        ("interpolate.alphas=[0.5, 1]", "interpolate.alphas", [0.5, 1.0]),
        ("backbone.max_length=64", "backbone.max_length", 64),
        ("loss.params.alpha=1e-3", "loss.params", {"alpha": 1e-3}),
        ("data.train.sample=100", "data.train.0.sample", 100),
        ("data.train.0.sample=100", "data.train.0.sample", 100),
        ("data.tests.far=/x.csv", "data.tests.far.path", "/x.csv"),
        ("words=null", "words", None),
        ("name=a=b", "name", "a=b"),
    ],
)
def test_overrides(override: str, path: str, value: object) -> None:
    text = SMALL.replace("/d/train.csv", "[/d/train.csv, {path: /e.csv}]") if ".0." in override else SMALL
    found: Any = parse_recipe(text + "backbone: minilm-l6\nloss: occ\n", [override])
    for part in path.split("."):
        found = (
            found[int(part)]
            if part.isdecimal()
            else found.get(part)
            if isinstance(found, dict)
            else getattr(found, part)
        )
    assert found == value
    assert parse_recipe(text + "backbone: minilm-l6\n", [override]).backbone.name == "minilm-l6"


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("tune.epochs", "no override"),
        ("=3", "no override"),
        ("tune..epochs=3", "no override"),
        ("tune.epochs=[1", "not YAML"),
        ("seed.x=1", "cannot be set"),
        ("probe.l2.9=1", "9.* is none of them"),
        ("data.train.0.sampel=1", "did you mean 'sample'"),
    ],
)
def test_an_override_that_cannot_be(override: str, word: str) -> None:
    with pytest.raises(RecipeError, match=word):
        parse_recipe(SMALL.replace("/d/train.csv", "[{path: /a}]") + "seed: 1\nprobe: {l2: [1]}\n", [override])


# --------------------------------------------------------------------------------------------- problems


def test_every_problem_in_one_error() -> None:
    text = """\
grades: [bad, good]
data:
  train: /t.csv
  tests: {far: {sampl: 3}}
  split: {dev_id: 0.7}
tune:
  epocs: 3
  batch_size: 0
  precision: bf16
  checkpoints: many
interpolate: no
epochs: 4
loss: {class_weights: {a: 1}}
"""
    with pytest.raises(InvalidRecipeError) as caught:
        parse_recipe(text, name="r.yaml")
    found = {problem.key: problem for problem in caught.value.problems}
    assert found["tune.epocs"].mend == "did you mean 'epochs'?"
    assert found["tune.epocs"].line == 7
    assert "at least 1" in found["tune.batch_size"].what
    assert "above 0 and below 0.5" in found["data.split.dev_id"].what
    assert found["tune.precision"].mend == "did you mean 'bfloat16'?"
    assert "whole number" in found["tune.checkpoints"].what
    assert "enabled: false" in (found["interpolate"].mend or "")
    assert found["epochs"].mend == "did you mean match.epochs or tune.epochs?"
    assert "sample" in (found["data.tests.far.sampl"].mend or "")
    assert found["data.tests.far.path"].what == "is missing"
    assert "loss.class_weights" in found
    assert len(found) == 10
    assert [problem.line for problem in caught.value.problems] == sorted(p.line or 0 for p in caught.value.problems)


def test_a_wrong_scale_does_not_hide_the_rest() -> None:
    with pytest.raises(InvalidRecipeError) as caught:
        parse_recipe("grades: {a: 1, b: 0}\ndata: {train: x, on_bad_rows: skp}")
    assert not isinstance(caught.value, GradeError)
    assert [problem.key for problem in caught.value.problems] == ["grades", "data.on_bad_rows"]


def test_numbers_as_grade_names_are_mended() -> None:
    with pytest.raises(InvalidRecipeError, match='put it in quotes: "0"'):
        parse_recipe("grades: [0, 1]\ndata: {train: x}")


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "empty"), (b"# only words\n", "empty"), (b"- 1", "group of keys"), (b"a: \xff", "UTF-8"), (b"1: 2", "keys")],
)
def test_files_that_are_no_recipe(tmp_path: Path, content: bytes, word: str) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(content)
    with pytest.raises(RecipeError, match=word):
        load_recipe(file)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="recipe init"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="folder"):
        load_recipe(tmp_path)


def test_the_schema_allows_the_short_forms() -> None:
    schema = recipe_schema()
    json.dumps(schema)
    assert {"type": "string"} in schema["properties"]["backbone"]["anyOf"]
    assert {"type": "string"} in schema["$defs"]["DataSettings"]["properties"]["train"]["anyOf"]
    assert schema["$defs"]["TuneSettings"]["additionalProperties"] is False


# ---------------------------------------------------------------------------------------------- guessing


def test_columns_and_grades_are_read_off_the_pairs(tmp_path: Path) -> None:
    file = tmp_path / "data" / "pairs.csv"
    file.parent.mkdir()
    file.write_text("search_term,title,label,domain\na,b,0,x\nc,d,2,x\n")
    facts = guess_data(str(file), tmp_path)
    assert facts == {
        "train": "data/pairs.csv",
        "columns": {"query": "search_term", "item": "title", "grade": "label"},
        "grades": ["grade 0", "grade 1", "grade 2"],
    }
    recipe = parse_recipe(recipe_template(**facts), folder=tmp_path)
    assert recipe.data.train[0].path == str(file.resolve())
    file.write_text("query,item,grade\na,b,weak\nc,d,strong\n")
    assert guess_data(str(file), tmp_path)["grades"] == ["strong", "weak"]
    file.write_text("query,item,grade\na,b,1\nc,d,4\n")  # as names, or 1 would be the second of them
    assert guess_data(str(file), tmp_path)["grades"] == ["1", "2", "3", "4"]
    file.write_text("query,item,grade\na,b,0.5\nc,d,0.7\n")
    with pytest.raises(DataError, match="whole numbers"):
        guess_data(str(file), tmp_path)
    with pytest.raises(StorageError):
        guess_data(str(tmp_path / "none.csv"), tmp_path)


# ------------------------------------------------------------------------------------------------ rounds

WITH_POOL = SMALL.replace("/d/train.csv", "/d/train.csv, pool: /d/pool.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SMALL + "rounds: {budget: 5}\n", "names none"),
        (WITH_POOL + "rounds: {budget: 5}\nood: {enabled: false}\n", "ood.enabled"),
        (WITH_POOL + "rounds: {count: 2}\n", "rounds.budget: is missing"),
        (WITH_POOL + "rounds: {budget: 5, budgets: 3}\n", "did you mean 'budget'"),
        (WITH_POOL + "rounds: {budget: 5, weight: 0}\n", "above 0"),
        (WITH_POOL + "rounds: {budget: 5, labels: {file: a.csv}}\n", "rounds.labels.file"),
    ],
)
def test_wrong_rounds_are_named(text: str, said: str) -> None:
    with pytest.raises(InvalidRecipeError, match=said):
        parse_recipe(text)


def test_a_matched_run_and_a_teacher_in_a_folder_are_paths() -> None:
    found = parse_recipe(WITH_POOL + "match: {reuse: runs/old, teacher: ./embedder}\n", folder="/r")
    assert (found.match.reuse, found.match.teacher) == ("/r/runs/old", "/r/embedder")


def test_labels_of_rounds_and_the_model_before_are_paths() -> None:
    text = WITH_POOL + "rounds: {budget: 5, labels: pool.csv}\ninterpolate: {before: runs/old}\n"
    recipe = parse_recipe(text, ["rounds.labels.where.split=pool"], folder="/r")
    assert recipe.rounds is not None
    assert recipe.rounds.labels is not None
    assert (recipe.rounds.labels.path, recipe.rounds.labels.where) == ("/r/pool.csv", {"split": "pool"})
    assert recipe.interpolate.before == "/r/runs/old"
    assert parse_recipe(recipe_to_yaml(recipe)) == recipe
