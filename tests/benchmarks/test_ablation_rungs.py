"""The rungs: each is a valid recipe, each changes what it says, and what shares a stage trains alike."""

from __future__ import annotations

import pytest

from ablation_rungs import LADDER, PEERS, RUNGS, comparisons, naive, rungs_for
from ablation_runs import HERE
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.training.run import differing_keys


def recipe_of(name: str) -> Recipe:
    return load_recipe(HERE / "recipes" / "patents.yaml", RUNGS[name].overrides)


def changed(one: str, other: str) -> list[str]:
    return differing_keys(recipe_of(one).model_dump(mode="json"), recipe_of(other).model_dump(mode="json"))


@pytest.mark.parametrize("name", RUNGS)
def test_every_rung_is_a_recipe(name: str) -> None:
    recipe = recipe_of(name)
    calibrated = (
        "finished",
        "full",
        "matched",
        "matched_full",
        "temperature",
        "tfidf",
        "st_cross_entropy",
        "st_binomial",
    )
    assert recipe.calibrate.enabled == (name in calibrated)


@pytest.mark.parametrize(
    ("one", "other", "keys"),
    [
        ("cross_entropy", "occ", {"loss.name"}),
        ("occ", "frozen", {"tune.freeze_embeddings"}),
        ("frozen", "lp_ft", {"tune.start", "match.enabled"}),  # plain tuning begins where matching cannot matter
        ("lp_ft", "interpolation", {"interpolate.enabled", "interpolate.alphas", "ood.enabled"}),
        ("random_labels", "dasa_labels", set()),
        ("interpolation", "finished", {"calibrate.enabled", "decide.rule", "tune.start"}),
        ("dasa_labels", "full", {"calibrate.enabled", "decide.rule", "tune.start"}),
        ("finished", "full", set()),
        ("interpolation", "matching", {"match.enabled", "interpolate.alphas"}),
        ("matching", "matched", {"calibrate.enabled", "decide.rule", "tune.start"}),
        ("finished", "matched", {"match.enabled", "interpolate.alphas"}),
        ("full", "matched_full", {"match.enabled", "interpolate.alphas"}),
        ("cross_entropy", "temperature", {"calibrate.enabled", "calibrate.per_grade", "calibrate.shift_share"}),
    ],
)
def test_a_rung_changes_what_it_says(one: str, other: str, keys: set[str]) -> None:
    assert set(changed(one, other)) == keys


@pytest.mark.parametrize("name", [rung.name for rung in RUNGS.values() if rung.shares])
def test_what_shares_a_stage_trains_alike(name: str) -> None:
    rung = RUNGS[name]
    assert rung.shares is not None
    assert rung.baseline == RUNGS[rung.shares].baseline
    assert rung.labels == RUNGS[rung.shares].labels
    trained = ("seed", "grades", "backbone", "method", "loss", "probe", "tune")
    unlike = {key for key in changed(rung.shares, name) if key.split(".")[0] in trained}
    # the last rung tries a further start beside the one it shares, whose stages are the same
    assert unlike <= ({"tune.start"} if recipe_of(name).tune.start == "auto" else set())


def test_an_encoder_climbs_without_the_verbalizer() -> None:
    names = [rung.name for rung in rungs_for(decoder=False)]
    assert names == [rung.name for rung in (*LADDER, *PEERS) if not rung.decoders]
    assert naive(decoder=False) in names
    assert len(rungs_for(decoder=True)) == len(names) + 2


def test_comparisons_name_only_what_is_there_and_none_twice() -> None:
    found = comparisons(list(RUNGS), decoder=True)
    assert len(found) == len(set(found))
    assert {("occ", "cross_entropy"), ("occ", "verbalizer"), ("full", "verbalizer")} <= set(found)
    assert comparisons(["occ", "full"], decoder=False) == [("full", "occ")]
    assert ("finished", "interpolation") in found
    assert ("finished", "dasa_labels") not in found  # labels against none: two changes at once


def test_a_model_to_fall_back_on_is_a_finished_one() -> None:
    """Kept in place of one with labels, it is used as it is: with its calibration and its rule."""
    for rung in RUNGS.values():
        if rung.before:
            before = recipe_of(rung.before)
            assert before.calibrate.enabled == recipe_of(rung.name).calibrate.enabled
            assert before.decide.rule == recipe_of(rung.name).decide.rule
