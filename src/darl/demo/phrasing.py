"""How the embedded world speaks: templates for queries and product texts, and the slips of the keyboard."""

from __future__ import annotations

import random

from darl.demo.insurance import Domain, Need, Product

# {p} is the product in a searcher's words, {n} the need: words after a noun.
SHORT_QUERIES = (
    "{p} {n}",
    "{p} {n}",
    "{p} {n}",
    "{p} {n} quote",
    "best {p} {n}",
    "compare {p} {n}",
    "{p} {n} online",
    "need {p} {n}",
    "looking for {p} {n}",
    "{n} {p}",
    "{p}, {n}",
    "who sells {p} {n}",
)

# {p} is the product in a searcher's words, {n} the need: a clause of its own.
TOLD_QUERIES = (
    "hi, {n} - what about {p}?",
    "{n}, can i still get {p}",
    "is {p} any good if {n}?",
    "{n}. who would sell me {p}?",
    "does anyone do {p} when {n}",
    "my worry is that {n}... would {p} pay",
    "so {n} and i want {p}, where do i go?",
    "can you get {p} although {n}",
    "what if {n}? i mean with {p}",
    "tell me about {p} please, {n}",
)

ITEM_FORMS = (
    "{brand} {title}: {offers}. {excluded}",
    "{title} by {brand}. {excluded} You get: {offers}.",
    "{brand} {title} - {offers}. {excluded}",
    "{title} ({brand}). What you get: {offers}. {excluded}",
)
EXCLUDED_FORMS = (
    "Not included: {nouns}.",
    "We do not take on {nouns}.",
    "Without {nouns}.",
    "{nouns}: sorry, no.",
)
BRANDS = (
    "Ashgrove", "Bellmont", "Calla", "Dunmore", "Eastfold", "Fenwick", "Greyline", "Harbour Mutual",
    "Ivory Lane", "Juniper", "Kestrel", "Larkfield", "Meridon", "Northgate", "Oakley & Son", "Pinebank",
)  # fmt: skip


def ask_in_words(product: Product, need: Need, *, told: bool, rng: random.Random) -> str:
    """One way to ask for the product that meets the need, spelt right.

    Args:
        told: whole sentences, as in the new lines of business, instead of search-box words.
    """
    template = rng.choice(TOLD_QUERIES if told else SHORT_QUERIES)
    return template.format(p=rng.choice(product.asked), n=rng.choice(need.asked))


def describe(domain: Domain, product: Product, offers: list[str], excluded: list[str], rng: random.Random) -> str:
    """A product's title and short description, from the needs it meets and those it rules out (keys)."""
    nouns = " or ".join(domain.need(key).noun for key in excluded)
    text = rng.choice(ITEM_FORMS).format(
        brand=rng.choice(BRANDS),
        title=rng.choice(product.titles),
        offers="; ".join(rng.choice(domain.need(key).offered) for key in offers),
        excluded=rng.choice(EXCLUDED_FORMS).format(nouns=nouns) if nouns else "",
    )
    text = " ".join(text.split())
    return ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))


def misspell(text: str, rng: random.Random) -> str:
    """One slip in one longer word: two letters swapped, one left out, or one doubled.

    >>> misspell("tooth cover for children", random.Random(1))
    'toth cover for children'
    """
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not long:
        return text
    i = rng.choice(long)
    word, at = words[i], rng.randrange(1, len(words[i]) - 2)
    slips = (
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[:at] + word[at] + word[at:],
    )
    words[i] = rng.choice(slips)
    return " ".join(words)
