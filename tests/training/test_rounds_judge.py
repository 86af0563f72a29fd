"""Rounds whose labels come from a language model, asked over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from judge_world import Asked, Told, error, serving
from rounds_world import rounds_dict, write_pool

from darl.errors import DarlError
from darl.pairs import read_pairs
from darl.progress import Reporter
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.recipe.yaml_text import dump_yaml
from darl.storage import read_json
from darl.training.pipeline import fit
from darl.training.round_judge import judge_picks, outdated


@pytest.fixture(scope="module")
def pool(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(world, tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def truth(world: dict[str, str], pool: Path) -> dict[tuple[str, str], str]:
    """The grades of dev and pool, which an honest judge gives."""
    rows = [json.loads(line) for path in (pool, Path(world["dev_id"])) for line in path.read_text("utf-8").splitlines()]
    return {(row["query"], row["item"]): row["grade"] for row in rows}


def honest(truth: dict[tuple[str, str], str]):
    def behave(asked: Asked) -> Told:
        grade = truth[asked.pair["query"], asked.pair["item"]]
        return Told(json.dumps({"grade": grade}))

    return behave


def judged_recipe(world: dict[str, str], backbone: Path, pool: Path, url: str, **judge: object) -> Recipe:
    asked = {"endpoint": url, "model": "tiny-judge", "min_agreement": 0.6, "gold_pairs": 12, **judge}
    rounds = {"labels": None, "judge": asked, "count": 1}
    return Recipe.model_validate(rounds_dict(world, backbone, pool, rounds=rounds))


def test_the_loop_closes_without_people(
    world: dict[str, str],
    tiny_encoder: Path,
    pool: Path,
    truth: dict[tuple[str, str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEY_OF_A_TEST", "secret")

    def recipe() -> Recipe:
        return judged_recipe(world, tiny_encoder, pool, server.url, key_env="KEY_OF_A_TEST")

    with serving(honest(truth)) as server:
        done = fit(recipe(), run=tmp_path, quiet=True)
        asked = len(server.asked)
        assert asked == 12 + 6, "gold pairs, then the picks"
        assert all(one.headers["authorization"] == "Bearer secret" for one in server.asked)
        again = fit(recipe(), run=tmp_path, quiet=True)
        assert len(server.asked) == asked, "a finished round asks nothing"
    monkeypatch.delenv("KEY_OF_A_TEST")  # nor does it need what asking needs
    fit(recipe(), run=tmp_path, quiet=True)
    assert again.metrics["rounds"] == done.metrics["rounds"] == ["rounds/0", "rounds/1"]
    folder = tmp_path / "rounds" / "1"
    rows = [json.loads(line) for line in (folder / "stages/label/labelled.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 6
    assert all(truth[row["query"], row["item"]] == row["grade"] for row in rows)
    assert all("tiny-judge" in row["labelled_by"] for row in rows)
    assert read_json(folder / "labelled.judge.json")["agreement"]["pairs"] == 12


def test_a_judge_that_agrees_too_little_stops_the_fit_and_a_better_one_goes_on(
    world: dict[str, str], tiny_encoder: Path, pool: Path, truth: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    with serving(lambda asked: Told(json.dumps({"grade": "irrelevant"}))) as server, pytest.raises(DarlError) as told:
        fit(judged_recipe(world, tiny_encoder, pool, server.url), run=tmp_path, quiet=True)
    assert "no label was written" in str(told.value)
    assert not (tmp_path / "rounds/1/labelled.jsonl").exists()
    assert (tmp_path / "rounds/0/model/darl.json").exists(), "the first fit is kept"
    with serving(honest(truth)) as server:
        recipe = judged_recipe(world, tiny_encoder, pool, server.url, model="better-judge")
        done = fit(recipe, run=tmp_path, quiet=True, redo=True)
    assert len(done.metrics["rounds"]) == 2


def test_new_picks_are_judged_anew_and_labels_of_people_are_kept(
    world: dict[str, str], tiny_encoder: Path, pool: Path, truth: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    labelled = tmp_path / "rounds" / "1" / "labelled.jsonl"
    with serving(honest(truth)) as server:
        recipe = judged_recipe(world, tiny_encoder, pool, server.url)

        def again(strategy: str) -> None:
            rounds = recipe.rounds.model_copy(update={"strategy": strategy})
            fit(recipe.model_copy(update={"rounds": rounds}), run=tmp_path, quiet=True, redo=True)

        fit(recipe, run=tmp_path, quiet=True)
        first = labelled.read_bytes()
        again("random")
        asked = len(server.asked)
        assert 18 < asked <= 18 + 6, "the new picks alone: the gold pairs are known"
        assert labelled.read_bytes() != first
        people = labelled.read_text("utf-8").replace("llm:tiny-judge", "Ann")
        labelled.write_text(people, "utf-8")
        with pytest.raises(DarlError, match="were not picked"):
            again("uncertainty")
        assert len(server.asked) == asked
    assert labelled.read_text("utf-8") == people


def test_a_spent_budget_is_raised_in_the_recipe(
    world: dict[str, str], tiny_encoder: Path, pool: Path, tmp_path: Path
) -> None:
    recipe = judged_recipe(world, tiny_encoder, pool, "http://127.0.0.1:1/v1", price=(1.0, 1.0), budget=1e-9)
    dev = read_pairs(world["dev_id"], scale=recipe.grades.scale())
    picked, labelled = tmp_path / "picked.jsonl", tmp_path / "labelled.jsonl"
    picked.write_bytes(pool.read_bytes())
    with pytest.raises(DarlError) as told:
        judge_picks(recipe, recipe.rounds.judge, dev, picked, labelled, Reporter(quiet=True), key="a")
    assert told.value.where == "rounds.judge.budget"
    assert "--" not in str(told.value)


class Killed(BaseException):
    """Nobody catches it."""


def die(*_: object) -> None:
    raise Killed


@pytest.mark.parametrize("where", ["darl.training.round_judge.atomic_write_json", "pathlib.Path.replace"])
def test_killed_while_the_labels_are_put_in_place_it_asks_nothing_twice_and_knows_them_as_the_judges(
    where: str,
    world: dict[str, str],
    tiny_encoder: Path,
    pool: Path,
    truth: dict[tuple[str, str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines, labelled = pool.read_text("utf-8").splitlines(), tmp_path / "labelled.jsonl"
    with serving(honest(truth)) as server:
        recipe = judged_recipe(world, tiny_encoder, pool, server.url)
        dev = read_pairs(world["dev_id"], scale=recipe.grades.scale())

        def go_on(first: int, killed: bool = False) -> None:
            """As a fit that picked six pairs does."""
            picked, key = tmp_path / "picked.jsonl", f"the picks from {first}"
            picked.write_text("\n".join(lines[first : first + 6]), encoding="utf-8")
            with monkeypatch.context() as patch:
                if killed:
                    patch.setattr(where, die)
                if not labelled.exists() or outdated(labelled, key):
                    judge_picks(recipe, recipe.rounds.judge, dev, picked, labelled, Reporter(quiet=True), key=key)

        def pairs(rows: list[str]) -> list[tuple[str, str]]:
            return [(row["query"], row["item"]) for row in map(json.loads, rows)]

        for first in (0, 6):  # picked anew, the labels that are there are the judge's own
            with pytest.raises(Killed):
                go_on(first, killed=True)
            asked = len(server.asked)
            assert asked == 12 + first + 6
            go_on(first)
            assert len(server.asked) == asked
            assert pairs(labelled.read_text("utf-8").splitlines()) == pairs(lines[first : first + 6])
            assert not (tmp_path / "labelled.judged.jsonl").exists()


def test_labels_that_people_bring_while_the_judge_is_asked_stay(
    world: dict[str, str], tiny_encoder: Path, pool: Path, truth: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    picked, labelled, right = tmp_path / "picked.jsonl", tmp_path / "labelled.jsonl", honest(truth)
    picked.write_text("\n".join(pool.read_text("utf-8").splitlines()[:6]), encoding="utf-8")

    def meanwhile(asked: Asked) -> Told:
        labelled.write_text("by people", encoding="utf-8")
        return right(asked)

    with serving(meanwhile) as server:
        recipe = judged_recipe(world, tiny_encoder, pool, server.url)
        dev = read_pairs(world["dev_id"], scale=recipe.grades.scale())
        judge_picks(recipe, recipe.rounds.judge, dev, picked, labelled, Reporter(quiet=True), key="a")
    assert labelled.read_text("utf-8") == "by people"
    assert not (tmp_path / "labelled.judged.jsonl").exists()


def test_an_endpoint_that_fails_on_the_way_is_asked_no_pair_twice(
    world: dict[str, str], tiny_encoder: Path, pool: Path, truth: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    right = honest(truth)
    with serving(*[right] * 14, error(401, "the key has run out")) as server:
        recipe = judged_recipe(world, tiny_encoder, pool, server.url, concurrency=1)
        with pytest.raises(DarlError, match="key"):
            fit(recipe, run=tmp_path, quiet=True)
        server.behave = right
        fit(recipe, run=tmp_path, quiet=True)
        pairs = [tuple(sorted(asked.pair.items())) for asked in server.asked]
    assert len(set(pairs)) == 18
    assert len(pairs) == 18 + 1, "the refused one alone is asked again"


def test_labels_and_a_judge_together_are_refused(world: dict[str, str], tiny_encoder: Path, pool: Path) -> None:
    asked = {"endpoint": "http://127.0.0.1:1/v1", "model": "m", "min_agreement": 0.5}
    with pytest.raises(ValueError, match="not both"):
        Recipe.model_validate(rounds_dict(world, tiny_encoder, pool, rounds={"judge": asked}))


def test_paths_of_the_judge_are_meant_from_the_recipes_folder(
    world: dict[str, str], tiny_encoder: Path, pool: Path, tmp_path: Path
) -> None:
    asked = {"endpoint": "http://127.0.0.1:1/v1", "model": "m", "min_agreement": 0.5}
    asked |= {"gold": "gold.jsonl", "guideline": "guide.md"}
    data = rounds_dict(world, tiny_encoder, pool, rounds={"labels": None, "judge": asked})
    (tmp_path / "recipe.yaml").write_text(dump_yaml(data), encoding="utf-8")
    judge = load_recipe(tmp_path / "recipe.yaml").rounds.judge
    assert judge.guideline == str(tmp_path / "guide.md")
    assert judge.gold.path == str(tmp_path / "gold.jsonl")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"endpoint": "localhost"}, "endpoint"),
        ({"guideline": "nowhere.md"}, "nowhere.md"),
        ({"key_env": "NO_SUCH_KEY_OF_DARL"}, "NO_SUCH_KEY_OF_DARL"),
        ({"samples": 3, "temperature": 0.0}, "one sample"),
    ],
)
def test_what_the_judge_cannot_be_asked_with_is_refused_before_the_first_fit(
    world: dict[str, str], tiny_encoder: Path, pool: Path, tmp_path: Path, wrong: dict[str, object], said: str
) -> None:
    recipe = judged_recipe(world, tiny_encoder, pool, **{"url": "http://127.0.0.1:1/v1", **_as_url(wrong)})
    with pytest.raises(DarlError, match=said):
        fit(recipe, run=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "rounds" / "0" / "model").exists()


def _as_url(wrong: dict[str, object]) -> dict[str, object]:
    return {"url" if name == "endpoint" else name: value for name, value in wrong.items()}


def test_a_budget_without_a_price_is_refused(world: dict[str, str], tiny_encoder: Path, pool: Path) -> None:
    with pytest.raises(ValueError, match="needs a `price`"):
        judged_recipe(world, tiny_encoder, pool, "http://127.0.0.1:1/v1", budget=2.0)
