"""The embedded world: reproducible, honest in its grades, split by query, and new where it claims to be."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from darl.demo.grading import Ask, Offer, grade_of
from darl.demo.insurance import Domain, Need
from darl.demo.known_lines import KNOWN
from darl.demo.phrasing import EXCLUDED_FORMS, misspell
from darl.demo.world import NEW, World, annotate, make_world, write_world
from darl.errors import DataError

KNOWN_NAMES = {domain.name for domain in KNOWN}
NEW_NAMES = {domain.name for domain in NEW}


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(seed=0)


def labels(rows: list[dict]) -> list[int]:
    return [row["label"] if "label" in row else row["hidden_label"] for row in rows]


def words(texts: list[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"[a-z]{3,}", text.lower())}


def test_same_seed_same_rows_another_seed_others(world: World) -> None:
    assert make_world(seed=0) == world
    assert make_world(seed=1).train != world.train


def test_default_sizes_and_any_size() -> None:
    asked = {"train": 7, "dev_id": 1, "dev_ood": 2, "pool": 11, "test_id": 3, "test_ood": 4}
    assert {name: len(rows) for name, rows in make_world(seed=5, **asked).splits().items()} == asked


@pytest.mark.parametrize("size", [0, -3])
def test_an_empty_split_is_refused(size: int) -> None:
    with pytest.raises(DataError, match="dev_ood"):
        make_world(dev_ood=size)


def test_more_queries_than_words_is_said_and_does_not_hang() -> None:
    with pytest.raises(DataError, match="smaller"):
        make_world(train=200_000)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_query_in_two_splits_and_no_pair_twice(seed: int) -> None:
    splits = make_world(seed=seed).splits()
    queries = {name: {" ".join(row["query"].casefold().split()) for row in rows} for name, rows in splits.items()}
    assert len(set().union(*queries.values())) == sum(len(found) for found in queries.values())
    pairs = [(row["query"], row["item"]) for rows in splits.values() for row in rows]
    assert len(set(pairs)) == len(pairs)


def test_identifiers_stand_for_texts(world: World) -> None:
    rows = [row for part in world.splits().values() for row in part]
    for key, text in (("query_id", "query"), ("item_id", "item")):
        assert len({row[key] for row in rows}) == len({row[text] for row in rows})
        assert len({(row[key], row[text]) for row in rows}) == len({row[text] for row in rows})


def test_no_row_is_empty_or_untidy(world: World) -> None:
    for rows in world.splits().values():
        for row in rows:
            for field in ("query", "item"):
                assert len(row[field].split()) >= 3
                assert row[field] == " ".join(row[field].split())
                assert "{" not in row[field]


@pytest.mark.parametrize("name", ["train", "dev_id", "dev_ood", "pool", "test_id", "test_ood"])
def test_the_mix_of_grades(world: World, name: str) -> None:
    shares = np.bincount(labels(world.splits()[name]), minlength=3) / len(world.splits()[name])
    np.testing.assert_allclose(shares, [0.35, 0.35, 0.30], atol=0.05)


def test_domains_stand_where_they_belong(world: World) -> None:
    for name in ("train", "dev_id", "test_id"):
        assert {row["domain"] for row in world.splits()[name]} == KNOWN_NAMES
    for name in ("dev_ood", "test_ood"):
        assert {row["domain"] for row in world.splits()[name]} == NEW_NAMES
    share = np.mean([row["domain"] in NEW_NAMES for row in world.pool])
    assert share == pytest.approx(0.3, abs=0.01)


def test_the_pool_hides_its_labels_and_an_annotator_tells_them(world: World) -> None:
    assert not any("label" in row for row in world.pool)
    labelled = annotate(world.pool[:20])
    assert [row["label"] for row in labelled] == [row["hidden_label"] for row in world.pool[:20]]
    assert set(labelled[0]) == set(world.train[0])


def test_new_domains_speak_other_words(world: World) -> None:
    known = words([row["query"] for row in world.train])
    strange = {
        name: np.mean(
            [
                np.mean([word not in known for word in re.findall(r"[a-z]{3,}", row["query"].lower())])
                for row in world.splits()[name]
            ]
        )
        for name in ("test_id", "test_ood")
    }
    assert strange["test_id"] < 0.15
    assert strange["test_ood"] > 0.5


@pytest.mark.parametrize(
    ("offer", "grade"),
    [
        (Offer("motor", "breakdown", meets=frozenset({"electric"})), 2),
        (Offer("motor", "breakdown", meets=frozenset({"electric", "budget"}), excludes=frozenset({"abroad"})), 2),
        (Offer("motor", "breakdown", meets=frozenset({"budget"})), 1),
        (Offer("motor", "breakdown", meets=frozenset({"budget"}), excludes=frozenset({"electric"})), 1),
        (Offer("motor", "motorbike", meets=frozenset({"electric"})), 1),
        (Offer("motor", "motorbike"), 1),
        (Offer("motor", ""), 0),
        (Offer("home", "emergency", meets=frozenset({"budget"})), 0),
        (Offer("gadget", "phone", meets=frozenset({"electric"})), 0),
    ],
)
def test_the_rule_by_hand(offer: Offer, grade: int) -> None:
    assert grade_of(Ask("motor", "breakdown", "electric"), offer) == grade


def refusals(need: Need) -> list[str]:
    return [form.format(nouns=need.noun).lower() for form in EXCLUDED_FORMS]


def read_back(text: str, domains: tuple[Domain, ...]) -> Offer | None:
    """The offer that a product text speaks of, found by its phrases alone."""
    for domain in domains:
        for product in domain.products:
            if any(title in text for title in product.titles):
                low = text.lower()
                parts = re.split(r"[:;.] |\.$| - ", low)
                meets = {need.key for need in domain.needs if any(phrase.lower() in parts for phrase in need.offered)}
                excludes = {need.key for need in domain.needs if any(no in low for no in refusals(need))}
                return Offer(domain.name, product.key, frozenset(meets), frozenset(excludes))
    return None


@pytest.mark.parametrize("name", ["train", "test_ood"])
def test_the_texts_say_what_the_grades_claim(world: World, name: str) -> None:
    """Reads every well-spelt pair like a person who knows the phrases, and must come to the same grade."""
    domains = {domain.name: domain for domain in (*KNOWN, *NEW)}
    checked = 0
    for row in world.splits()[name]:
        domain = domains[row["domain"]]
        products = [p.key for p in domain.products if any(asked in row["query"] for asked in p.asked)]
        needs = [n.key for n in domain.needs if any(asked in row["query"] for asked in n.asked)]
        if len(products) != 1 or len(needs) != 1:
            continue  # misspelt there
        offer = read_back(row["item"], (*KNOWN, *NEW)) or Offer(domain.name, "")
        assert grade_of(Ask(domain.name, products[0], needs[0]), offer) == row["label"], row
        assert not offer.meets & offer.excludes
        checked += 1
    assert checked > 0.85 * len(world.splits()[name])


def test_within_a_domain_no_phrase_means_two_things() -> None:
    for domain in (*KNOWN, *NEW):
        for phrases in (
            [phrase for product in domain.products for phrase in product.asked],
            [phrase for product in domain.products for phrase in product.titles],
            [phrase for need in domain.needs for phrase in need.asked],
            [phrase for need in domain.needs for phrase in need.offered],
            [need.noun for need in domain.needs],
        ):
            assert max(Counter(phrases).values()) == 1, domain.name
        assert len(domain.lookalikes) >= 6
        assert all(domain.product(product.key) is product for product in domain.products)


def test_misspelling_changes_one_word_and_leaves_short_texts() -> None:
    rng = random.Random(0)
    text = "dental insurance for children"
    for _ in range(50):
        changed = [a != b for a, b in zip(text.split(), misspell(text, rng).split(), strict=True)]
        assert sum(changed) <= 1  # two equal letters swapped are the same word
    assert misspell("for my ev", rng) == "for my ev"


@pytest.mark.parametrize("seed", [0, 1])
def test_counting_words_does_not_solve_it(seed: int) -> None:
    """Neither the words of the pair nor the words it shares tell the grade (chance is about 0.33)."""
    world = make_world(seed=seed)
    words_of = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    words_of.fit([row[field] for row in world.train for field in ("query", "item")])

    def features(rows: list[dict]) -> np.ndarray:
        query, item = (words_of.transform([row[field] for row in rows]).toarray() for field in ("query", "item"))
        overlap = (query * item).sum(axis=1, keepdims=True)
        return np.concatenate([query, item, 3 * overlap, 3 * np.sqrt(overlap)], axis=1)

    model = LogisticRegression(C=3.0, max_iter=1000).fit(features(world.train), labels(world.train))
    for rows in (world.test_id, world.test_ood):
        score = f1_score(labels(rows), model.predict(features(rows)), average="macro")
        assert score < 0.65


def test_written_files_hold_the_rows(world: World, tmp_path: Path) -> None:
    files = write_world(world, tmp_path / "world")
    assert list(files) == ["train", "dev_id", "dev_ood", "pool", "test_id", "test_ood"]
    for name, path in files.items():
        assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == world.splits()[name]
    assert "invented" in (tmp_path / "world" / "README.md").read_text(encoding="utf-8").lower()
