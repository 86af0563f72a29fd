"""Answers are read strictly: one grade of the scale, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_world import SCALE

from darl import GradeScale
from darl.labelling.judge.parsing import read_answer

READ = {
    '{"grade": "strong"}': 2,
    ' {"grade":"WEAK"}\n': 1,
    '{"grade": 2}': 2,
    '{"grade": "0"}': 0,
    '```json\n{"grade": "weak"}\n```': 1,
    'Here it is: {"reason": "a {brace}", "grade": "strong"} as asked.': 2,
    '{"grade": "weak", "grade": "weak"}': 1,
    '{"grade": "weak"} {"grade": 1}': 1,
    '<think>strong? no, {"grade": "strong"}</think>\n{"grade": "weak"}': 1,
    "strong": 2,
    "**Strong**.": 2,
    "Grade: irrelevant": 0,
    "The grade is weak.": 1,
    "1": 1,
    '"weak"': 1,
}
NOT_READ = {
    "": "empty",
    None: "empty",
    "   ": "empty",
    "<think>it could be strong": "empty",
    "weak or strong": "no grade",
    "not irrelevant": "no grade",
    "3": "no grade",
    "-1": "no grade",
    "1.5": "no grade",
    "I cannot grade this.": "no grade",
    '{"grade": "excellent"}': "not on the scale",
    '{"grade": true}': "not on the scale",
    '{"grade": null}': "not on the scale",
    '{"grade": ["weak"]}': "not on the scale",
    '{"grade": 1.5}': "not on the scale",
    '{"grade": {"grade": "weak"}}': "not on the scale",
    '{"grade": "weak", "grade": "strong"}': "several grades",
    '{"grade": "weak"} or {"grade": "strong"}': "several grades",
    '{"score": 2}': "no grade",
    '{"grade": "str': "no grade",
    '{"a":' * 5000: "no grade",
}


@pytest.mark.parametrize(("text", "grade"), READ.items())
def test_it_is_read(text: str, grade: int) -> None:
    assert read_answer(text, SCALE).grade == grade


@pytest.mark.parametrize(("text", "problem"), NOT_READ.items())
def test_it_is_not_guessed(text: str | None, problem: str) -> None:
    reading = read_answer(text, SCALE)
    assert reading.grade is None
    assert problem in reading.problem


def test_what_was_cut_off_is_said() -> None:
    assert "cut off at max_tokens" in read_answer("", SCALE, finish="length").problem
    assert "cut off at max_tokens" in read_answer('{"reason": "It is', SCALE, finish="length").problem


def test_a_reason_is_kept_in_one_line() -> None:
    reading = read_answer(json.dumps({"reason": "same\n brand ", "grade": "strong"}), SCALE)
    assert reading.reason == "same brand"
    assert read_answer('{"reason": 5, "grade": "strong"}', SCALE).reason == ""


def test_names_win_over_numbers() -> None:
    scale = GradeScale(("1", "2", "3"))
    assert read_answer('{"grade": 1}', scale).grade == read_answer("1", scale).grade == 0


@given(st.text())
def test_any_text_is_a_reading(text: str) -> None:
    reading = read_answer(text, SCALE)
    assert (reading.grade is None) == bool(reading.problem)


@given(st.sampled_from(range(3)), st.text(alphabet=st.characters(blacklist_characters="{}<"), max_size=30))
def test_one_object_among_words_is_found(grade: int, words: str) -> None:
    answer = json.dumps({"grade": SCALE.names[grade]})
    assert read_answer(f"{words} {answer} {words}", SCALE).grade == grade
