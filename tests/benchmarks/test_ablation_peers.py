"""The peers: the same inputs as darl, losses that are what their description says, probabilities that are some."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom

from darl.pairs import PairTable
from darl.recipe.file import parse_recipe
from darl.recipe.settings import Recipe
from darl.training.starts import fresh_model
from peers_cross_encoder import binomial_probabilities, make_model
from peers_cross_encoder import train as train_cross_encoder
from peers_tfidf import train as train_tfidf

GRADES = 4
THINGS = ("red table", "blue shoes", "pet cover", "old lamp")


def recipe_of(backbone: Path | str) -> Recipe:
    return parse_recipe(
        f"grades: [none, some, much, all]\nseed: 1\ndata: {{train: /nowhere.jsonl}}\n"
        f"backbone: {{name: {backbone}, max_length: 32}}\n"
        "tune: {epochs: 1, batch_size: 16, learning_rate: 0.003, precision: float32}"
    )


def made_up(count: int, seed: int) -> PairTable:
    """The item says its grade by how often it repeats the query."""
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, GRADES, count)
    queries = [THINGS[i] for i in rng.integers(0, len(THINGS), count)]
    asked = zip(queries, grades, strict=True)
    items = [f"{' '.join([query] * grade)} shop {i}" for i, (query, grade) in enumerate(asked)]
    return PairTable.from_pairs(queries, items, grades.tolist())


def test_one_logit_stands_for_a_binomial_whose_likelihood_is_the_scaled_loss() -> None:
    logits, m = np.linspace(-3, 3, 7), GRADES - 1
    p = binomial_probabilities(logits, GRADES)
    assert p.sum(1) == pytest.approx(1)
    share = 1 / (1 + np.exp(-logits))
    assert p @ np.arange(GRADES) == pytest.approx(m * share)
    for grade in range(GRADES):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            torch.tensor(logits), torch.full((7,), grade / m, dtype=torch.float64), reduction="none"
        )
        constant = np.log(binom.pmf(grade, m, 0.5) * 2**m)
        assert -np.log(p[:, grade]) == pytest.approx(m * loss.numpy() - constant)


@pytest.mark.parametrize("kind", ["tiny_encoder", "tiny_decoder"])
def test_the_cross_encoder_reads_pairs_as_darl_does(kind: str, request: pytest.FixtureRequest) -> None:
    recipe = recipe_of(request.getfixturevalue(kind))
    queries, items = ["red table", "pet cover"], ["a round wooden table", "x"]
    ours, theirs = fresh_model(recipe), make_model(recipe, GRADES)
    theirs[0].model.load_state_dict(ours.network.state_dict())  # type: ignore[union-attr]
    pairs = list(zip(queries, items, strict=True))
    found = theirs.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    assert np.asarray(found) == pytest.approx(ours.logits(ours.encode(queries=queries, items=items)), abs=1e-4)


@pytest.mark.parametrize("loss", ["cross_entropy", "binomial"])
def test_the_cross_encoder_learns_and_gives_probabilities(loss: str, tiny_encoder: Path, tmp_path: Path) -> None:
    known, dev = made_up(96, 0), made_up(32, 1)
    found = train_cross_encoder(recipe_of(tiny_encoder), known, dev, {"dev": dev}, tmp_path, loss=loss)
    chances, predicted = found["dev"]
    assert chances.shape == (32, GRADES)
    assert chances.sum(1) == pytest.approx(1, abs=1e-5)
    assert set(predicted) <= set(range(GRADES))


def test_the_floor_learns_what_words_say(tmp_path: Path) -> None:
    known, dev = made_up(240, 0), made_up(80, 1)
    chances, predicted = train_tfidf(recipe_of("none"), known, dev, {"dev": dev}, tmp_path)["dev"]
    assert chances.sum(1) == pytest.approx(1)
    assert (predicted == dev.grades).mean() > 0.6


def test_the_floor_gives_a_grade_it_never_saw_no_chance(tmp_path: Path) -> None:
    known, dev = made_up(240, 0).where(made_up(240, 0).grades != 2), made_up(40, 1)
    chances, _ = train_tfidf(recipe_of("none"), known, dev, {"dev": dev}, tmp_path)["dev"]
    assert (chances[:, 2] == 0).all()
