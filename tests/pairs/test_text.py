import pytest
from hypothesis import given
from hypothesis import strategies as st

from darl.pairs import clean_text, normalise_query

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_cleaned_text_can_be_encoded_and_keeps_its_length(text):
    cleaned = clean_text(text)
    assert "\0" not in cleaned
    assert len(cleaned.encode("utf-8").decode("utf-8")) == len(text)
    assert clean_text(cleaned) == cleaned


@given(st.text())
def test_normal_form_is_idempotent(text):
    assert normalise_query(normalise_query(text)) == normalise_query(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_shortcut_agrees_with_the_long_way(text):
    assert normalise_query(text + " é") == f"{normalise_query(text)} é".strip()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Desk  Lamp", "desk lamp"),
        (" desk\tlamp\n", "desk lamp"),
        ("ＬＥＤ　lamp", "led lamp"),
        ("STRASSE", "straße"),
        ("cafe\u0301", "CAFÉ"),
        ("ﬁlter", "filter"),
        ("ℌ", "h"),
        ("Ⅳ", "iv"),
    ],
)
def test_same_query(first, second):
    assert normalise_query(first) == normalise_query(second)


@pytest.mark.parametrize(("first", "second"), [("lamp", "lamps"), ("cafe", "café"), ("a b", "ab"), ("水", "火")])
def test_different_queries(first, second):
    assert normalise_query(first) != normalise_query(second)
