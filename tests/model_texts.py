"""Texts for property tests: any Unicode, lone surrogates and special tokens included."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

HARD = [
    "",
    " ",
    "\x00",
    "\ud800",
    "a\udfffb\x00c",
    "<|endoftext|>",
    "<|pad|>",
    "<|pad|><|pad|>",
    "[SEP]",
    "[PAD] [CLS] [MASK]",
    "\ufdfa",  # one character that NFKC makes eighteen of
    "👩‍👩‍👧‍👦",
    "e\u0301\u0301\u0301",
    "\u202eright to left",
    "{query}{item}",
]
ANY_TEXT = st.one_of(
    st.sampled_from(HARD),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=60),
    st.lists(st.sampled_from([*HARD, "red", " shoes", "保险", "\n"]), max_size=12).map("".join),
)
ANY_PAIRS = st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=6)

# A busy machine is no defect: no limit on the time of one example.
STEADY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
STEADY_FEW = settings(STEADY, max_examples=40)
