"""The embedded world: insurance searches and products with three grades, made from a seed.

It is small enough to train on a laptop and hard enough that training on the known lines of business does
worse on the new ones. A pair's grade follows from what the query asks and the item offers, by the rule of
:mod:`darl.demo.grading`.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from pathlib import Path

from darl.demo.grading import Ask, Offer, grade_of
from darl.demo.insurance import Domain
from darl.demo.known_lines import KNOWN
from darl.demo.new_private_lines import PRIVATE
from darl.demo.new_trade_lines import TRADE
from darl.demo.phrasing import ask_in_words, describe, misspell
from darl.errors import DataError
from darl.storage import atomic_write_text

NEW: tuple[Domain, ...] = PRIVATE + TRADE
PAIRS_PER_QUERY = 3
STRONG_GIVEN_UP = 0.1  # the share of queries with no strong item: brings the mix from thirds to 35/35/30
NEW_IN_POOL = 0.3
# Lines whose words come near each other: where the hard negatives of a line are looked for first.
AKIN = {"health": "life", "motor": "home", "pet": "farm", "travel": "marine", "cyber": "gadget"}
AKIN |= {there: here for here, there in AKIN.items()}
SLIPS = 0.08  # the share of queries with one misspelt word
README = (
    "Invented insurance searches and products, made by darl.demo.world: one pair a line, "
    "label 0 irrelevant, 1 weak, 2 strong. *_id and train hold health, motor, home and life; *_ood six new lines of "
    "business; pool.jsonl both, its hidden_label being what an annotator would answer.\n"
)


@dataclass(frozen=True)
class World:
    """The splits, each a list of rows: query, item, label, domain, query_id, item_id.

    ``train``, ``dev_id`` and ``test_id`` hold the known domains; ``dev_ood`` and ``test_ood`` the new ones;
    ``pool`` both. A row of the pool has no ``label``, but a ``hidden_label`` for the simulated annotator
    (:func:`annotate`). No query stands in two splits.
    """

    train: list[dict]
    dev_id: list[dict]
    dev_ood: list[dict]
    pool: list[dict]
    test_id: list[dict]
    test_ood: list[dict]

    def splits(self) -> dict[str, list[dict]]:
        """Split name → rows, in the order of use."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def make_world(
    seed: int = 0,
    *,
    train: int = 360,
    dev_id: int = 120,
    dev_ood: int = 90,
    pool: int = 400,
    test_id: int = 200,
    test_ood: int = 200,
) -> World:
    """Make the world; the same arguments give the same rows, on any machine.

    Args:
        seed: of everything that is drawn.
        train, dev_id, dev_ood, pool, test_id, test_ood: pairs a split, three a query.

    Raises:
        DataError: a size below 1, or more queries than the world has words for.

    >>> world = make_world(seed=0)
    >>> {name: len(rows) for name, rows in world.splits().items()}
    {'train': 360, 'dev_id': 120, 'dev_ood': 90, 'pool': 400, 'test_id': 200, 'test_ood': 200}
    >>> sorted(world.train[0])
    ['domain', 'item', 'item_id', 'label', 'query', 'query_id']
    """
    sizes = {"train": train, "dev_id": dev_id, "dev_ood": dev_ood, "pool": pool}
    sizes |= {"test_id": test_id, "test_ood": test_ood}
    for name, size in sizes.items():
        if size < 1:
            raise DataError(f"a split needs at least one pair, got {size}", where=name)
    maker = _Maker(seed)
    pool_new = round(pool * NEW_IN_POOL)
    made = {
        "train": maker.rows(KNOWN, train),
        "dev_id": maker.rows(KNOWN, dev_id),
        "dev_ood": maker.rows(NEW, dev_ood),
        "pool": maker.rows(KNOWN, pool - pool_new) + maker.rows(NEW, pool_new),
        "test_id": maker.rows(KNOWN, test_id),
        "test_ood": maker.rows(NEW, test_ood),
    }
    for name, rows in made.items():
        random.Random(f"{seed}/{name}").shuffle(rows)
    for row in made["pool"]:
        row["hidden_label"] = row.pop("label")
    return World(**made)


def annotate(rows: list[dict]) -> list[dict]:
    """Label rows of the pool, as an annotator would: their hidden label becomes the label.

    >>> annotate([{"query": "q", "item": "i", "hidden_label": 2}])
    [{'query': 'q', 'item': 'i', 'label': 2}]
    """
    labelled = []
    for row in rows:
        open_row = {key: value for key, value in row.items() if key != "hidden_label"}
        labelled.append({**open_row, "label": row["hidden_label"]})
    return labelled


def write_world(world: World, folder: Path) -> dict[str, Path]:
    """Write each split as ``<split>.jsonl`` and a README.md that says what lies there.

    Returns:
        Split name → file.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    files = {name: folder / f"{name}.jsonl" for name in world.splits()}
    for name, rows in world.splits().items():
        atomic_write_text(files[name], "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    atomic_write_text(folder / "README.md", README)
    return files


class _Maker:
    """Draws queries whose words no split has seen, and items of a wanted grade for each."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seen: set[str] = set()

    def rows(self, domains: tuple[Domain, ...], size: int) -> list[dict]:
        """``size`` labelled rows about these domains."""
        rows: list[dict] = []
        for wanted in self._wanted_grades(-(-size // PAIRS_PER_QUERY)):
            domain = self.rng.choice(domains)
            ask, query = self._query(domain, told=domain in NEW)
            items: set[str] = set()
            for grade in wanted:
                offer, item = self._item(ask, domain, domains, grade, items)
                items.add(item)
                rows.append(
                    {
                        "query": query,
                        "item": item,
                        "label": grade_of(ask, offer),
                        "domain": domain.name,
                        "query_id": _key("q", query),
                        "item_id": _key("i", item),
                    }
                )
        return rows[:size]

    def _wanted_grades(self, queries: int) -> Iterator[list[int]]:
        """One item of each grade a query; a tenth of the queries swap the strong one for another."""
        given_up = set(self.rng.sample(range(queries), round(queries * STRONG_GIVEN_UP)))
        for i in range(queries):
            last = self.rng.randrange(2) if i in given_up else 2
            yield self.rng.sample([0, 1, last], PAIRS_PER_QUERY)

    def _query(self, domain: Domain, *, told: bool) -> tuple[Ask, str]:
        """A query of the domain that is new in any order of its words, also before a slip."""
        for _ in range(1000):
            product, need = self.rng.choice(domain.products), self.rng.choice(domain.needs)
            right = ask_in_words(product, need, told=told, rng=self.rng)
            text = misspell(right, self.rng) if self.rng.random() < SLIPS else right
            words = {_words(right), _words(text)}
            if not words & self.seen:
                self.seen |= words
                return Ask(domain.name, product.key, need.key), text
        raise DataError(
            f"the world has no more queries about {domain.name!r} to tell apart", mend="ask for smaller splits"
        )

    def _item(
        self, ask: Ask, domain: Domain, domains: tuple[Domain, ...], grade: int, taken: set[str]
    ) -> tuple[Offer, str]:
        """An item of that grade for the query, other than those it has."""
        while True:
            if grade == 0:
                offer, text = self._irrelevant(ask, domain, domains)
            else:
                offer = self._offer(domain, ask.product, meets={ask.need}) if grade == 2 else self._weak(ask, domain)
                text = self._text(domain, offer)
            if text not in taken:
                return offer, text

    def _weak(self, ask: Ask, domain: Domain) -> Offer:
        """The right product that lacks the need or rules it out, or its neighbour that may well meet it."""
        neighbour = self.rng.choice([p.key for p in domain.products if p.key != ask.product])
        kind = self.rng.choices(("rules out", "lacks", "neighbour meets", "neighbour"), (30, 15, 20, 35))[0]
        if kind == "neighbour meets":
            return self._offer(domain, neighbour, meets={ask.need})
        if kind == "neighbour":
            return self._offer(domain, neighbour, avoid={ask.need})
        if kind == "rules out":
            return self._offer(domain, ask.product, excludes={ask.need})
        return self._offer(domain, ask.product, avoid={ask.need})

    def _irrelevant(self, ask: Ask, domain: Domain, domains: tuple[Domain, ...]) -> tuple[Offer, str]:
        """A look-alike that is no insurance, or a policy of another line, by preference one akin or with the need."""
        if self.rng.random() < 0.4:
            return Offer(domain.name, ""), self.rng.choice(domain.lookalikes)
        others = [other for other in domains if other is not domain]
        near = [other for other in others if other.name == AKIN[domain.name] or _has_need(other, ask.need)]
        other = self.rng.choice(near if self.rng.random() < 0.5 else others)
        meets = {ask.need} if _has_need(other, ask.need) else set()
        offer = self._offer(other, self.rng.choice(other.products).key, meets=meets)
        return offer, self._text(other, offer)

    def _offer(
        self,
        domain: Domain,
        product: str,
        meets: AbstractSet[str] = frozenset(),
        excludes: AbstractSet[str] = frozenset(),
        avoid: AbstractSet[str] = frozenset(),
    ) -> Offer:
        """An offer with one or two needs met and up to one ruled out, the given ones among them."""
        free = [need.key for need in domain.needs if need.key not in {*meets, *excludes, *avoid}]
        self.rng.shuffle(free)
        more = self.rng.choice((1, 2)) - len(meets)
        met, rest = free[:more], free[more:]
        out = rest[: max(0, self.rng.choice((0, 1)) - len(excludes))]
        return Offer(domain.name, product, frozenset({*meets, *met}), frozenset({*excludes, *out}))

    def _text(self, domain: Domain, offer: Offer) -> str:
        meets, excludes = sorted(offer.meets), sorted(offer.excludes)
        self.rng.shuffle(meets)
        return describe(domain, domain.product(offer.product), meets, excludes, self.rng)


def _has_need(domain: Domain, key: str) -> bool:
    return any(need.key == key for need in domain.needs)


def _key(prefix: str, text: str) -> str:
    """A short identifier that depends on the text alone."""
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _words(text: str) -> str:
    """What makes two queries the same here: their words, in any order."""
    return " ".join(sorted(re.findall(r"\w+", text.lower())))
