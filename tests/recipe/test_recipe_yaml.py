"""The YAML of recipes: what is read is what was meant, and what is written is read the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darl.errors import RecipeError
from darl.recipe.yaml_text import dump_yaml, parse_yaml

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@given(DATA)
def test_written_data_is_read_the_same(data: object) -> None:
    again, _ = parse_yaml(dump_yaml(data), "r.yaml")
    assert again == data
    assert type(again) is type(data)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("On", "On"),
        ("true", True),
        ("1e-4", 1e-4),
        ("2.", 2.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("010", 10),
        ("0x1F", 31),
        ("'3'", "3"),
        ("~", None),
    ],
)
def test_scalars_are_read_as_people_mean_them(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}", "r.yaml")[0]["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ("a: 1\nb: [1", "r.yaml:2", "not YAML"),
        ("a: b: c", "r.yaml:1:5", "not YAML"),
        ("a: 1\nb: 2\na: 3", "r.yaml:3", "stands twice, first on line 1"),
        ("t:\n  x: 1\n  x: 2", "r.yaml:3", "stands twice"),
        ("a: \x01", "r.yaml:1", "character"),
        ("a: 1\n\tb: 2", "r.yaml:2", "not YAML"),
        ("a: !!python/object/apply:os.getcwd []", "r.yaml:1", "not YAML"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, place: str, word: str) -> None:
    with pytest.raises(RecipeError, match=word) as caught:
        parse_yaml(text, "r.yaml")
    assert caught.value.where is not None
    assert caught.value.where.startswith(place)


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARL_T_N", "7")
    monkeypatch.setenv("DARL_T_EMPTY", "")
    monkeypatch.delenv("DARL_T_UNSET", raising=False)
    text = (
        'n: ${DARL_T_N}\nq: "${DARL_T_N}"\np: a/${DARL_T_N}/${DARL_T_UNSET:-x y}\n'
        "e: ${DARL_T_EMPTY:-d}\nplain: $${DARL_T_N}\n"
    )
    found = parse_yaml(text, "r.yaml")[0]
    assert found == {"n": 7, "q": "7", "p": "a/7/x y", "e": "d", "plain": "${DARL_T_N}"}
    with pytest.raises(RecipeError, match="DARL_T_UNSET is not set") as caught:
        parse_yaml("a: 1\nb: ${DARL_T_UNSET}", "r.yaml")
    assert caught.value.where == "r.yaml:2"
    with pytest.raises(RecipeError, match="names no variable"):
        parse_yaml("b: '${not a name}'", "r.yaml")


def test_a_variable_cannot_smuggle_yaml_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARL_T_EVIL", "x\nseed: 3")
    assert parse_yaml("name: ${DARL_T_EVIL}", "r.yaml")[0] == {"name": "x\nseed: 3"}
