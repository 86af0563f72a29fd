"""The guards one by one: what they refuse, and above all what they must let through."""

from __future__ import annotations

import numpy as np
import pytest
from dasa_worlds import table
from hypothesis import given
from hypothesis import strategies as st

from darl.dasa.guards import DuplicateGuard, LabelledGuard, LeakGuard, pair_codes, run_guards, within_cap
from darl.dasa.text_guards import EmptyGuard, GarbageGuard, damaged, endless_token, nearly_empty

READABLE = [
    ("travel insurance", "Yearly travel cover for a family"),
    ("车", "新能源汽车商业保险" * 40),
    ("ねこ", "ペット保険プランの比較とおすすめ一覧をご紹介します" * 5),
    ("ﾍﾟｯﾄ", "ﾍﾟｯﾄ保険"),
    ("ประกันรถยนต์", "ประกันภัยรถยนต์ชั้นหนึ่งคุ้มครองทั้งรถชนรถและรถชนสิ่งของโดยไม่มีคู่กรณีตลอดยี่สิบสี่ชั่วโมง"),
    ("보험", "반려동물 보험 상품"),
    ("भारत बीमा", "यात्रा बीमा योजना"),
    ("تأمين السفر", "تغطية سنوية للسفر"),
    ("Rechtsschutzversicherungsgesellschaften", "Donaudampfschifffahrtsgesellschaftskapitän"),
    ("90210", "part number 0001234567890123456789"),
    ("tv", "TV"),
    ("c++", "R 4"),
    ("https://shop.example/a/very/long/address/with-many-words-in-it", "a page about garden tables and chairs"),
    ("lamp \U0001f9a5", "lamp with a sloth \U0001f9a5 caf\ufffd"),
    ("𠮷野家", "𠮷野家の牛丼"),
]
UNREADABLE = [
    ("\ufffd\ufffd\ufffd lamp", "desk lamp"),
    ("lamp", "\x01\x02\x03\x04 ab"),
    ("lamp", "\ue001\ue002\ue003"),
    ("lamp", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk", "an image in a query"),
    ("lamp", "12345 678"),
    ("lamp", "--- *** ---"),
]


@pytest.mark.parametrize("pair", READABLE, ids=lambda pair: pair[0][:12])
def test_readable_pairs_pass_in_any_script(pair):
    assert not GarbageGuard().check(table(pair)).mask[0]
    assert not EmptyGuard().check(table(pair)).mask[0]


@pytest.mark.parametrize("pair", UNREADABLE, ids=range(len(UNREADABLE)))
def test_garbage_is_refused(pair):
    verdict = GarbageGuard().check(table(pair))
    assert verdict.mask[0]
    assert sum(verdict.details.values()) >= 1


@given(st.text(alphabet=st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1, max_size=300))
def test_no_chinese_text_is_ever_dropped(text):
    assert not any(test(text) for test in (nearly_empty, damaged, endless_token))


@given(st.text(max_size=80))
def test_the_text_tests_take_any_text(text):
    assert {nearly_empty(text), damaged(text), endless_token(text)} <= {True, False}


@pytest.mark.parametrize("text", ["", " ", "\t\n", "?", "…!", "a", "é", "7", "\U0001f9a5"])
def test_empty_and_nearly_empty_texts_are_refused_on_either_side(text):
    pool = table((text, "desk lamp"), ("desk lamp", text))
    verdict = EmptyGuard().check(pool)
    assert verdict.mask.tolist() == [True, True]
    assert verdict.details == {"query": 1, "item": 1}


def test_the_leak_guard_goes_by_the_normalised_query():
    pool = table(("ＬＥＤ  lamp", "a"), ("led lamps", "b"), ("Straße", "c"))
    guard = LeakGuard({"id": table(("LED Lamp", "x")), "ood": table(("STRASSE", "x"), ("led lamp", "y"))})
    verdict = guard.check(pool)
    assert verdict.mask.tolist() == [True, False, True]
    assert verdict.details == {"id": 1, "ood": 2}
    assert not LeakGuard(None).check(pool).mask.any()
    assert not LeakGuard({"none": pool.take([])}).check(pool).mask.any()


def test_labelled_pairs_are_found_whatever_their_spelling():
    pool = table(("Lamp", "Desk  LAMP"), ("lamp", "floor lamp"), ("desk lamp", "lamp"))
    verdict = LabelledGuard(train=table(("lamp", "desk lamp")), already=None).check(pool)
    assert verdict.mask.tolist() == [True, False, False]  # query and item do not change places
    assert verdict.details == {"train": 1}


def test_of_repeats_the_first_stays():
    pool = table(("a", "x"), ("b", "x"), ("A", "X "), ("a", "x"), ("a", "b"))
    assert DuplicateGuard().check(pool).mask.tolist() == [False, False, True, True, False]


@given(st.lists(st.tuples(st.sampled_from("abAB"), st.sampled_from("abAB")), max_size=12))
def test_pair_codes_are_equal_exactly_for_equal_pairs(pairs):
    first, second = pair_codes(table(*pairs), table(*pairs[::-1]))
    texts = [(query.lower(), item.lower()) for query, item in pairs]
    for i, left in enumerate(texts):
        for j, right in enumerate(texts[::-1]):
            assert (first[i] == second[j]) == (left == right)


@given(st.lists(st.integers(0, 4), max_size=30), st.none() | st.integers(1, 5))
def test_the_cap_counts_each_query_in_order(groups, cap):
    seen: dict[int, int] = {}
    expected = []
    for group in groups:
        seen[group] = seen.get(group, 0) + 1
        expected.append(cap is None or seen[group] <= cap)
    assert within_cap(np.array(groups, dtype=np.int64), cap).tolist() == expected


def test_a_pair_counts_for_the_first_guard_that_refuses_it():
    pool = table(("lamp", "?"), ("lamp", "?"), ("lamp", "desk lamp"))
    passed, report = run_guards([DuplicateGuard(), EmptyGuard()], pool)
    assert passed.tolist() == [False, False, True]
    assert [report[name]["dropped"] for name in ("duplicate", "empty")] == [1, 1]
    assert report["empty"]["details"]["item"] == 2
