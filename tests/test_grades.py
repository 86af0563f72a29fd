"""GradeScale: what is a scale, what is a grade, and the relevance score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darl.errors import GradeError
from darl.grades import GradeScale

SCALE = GradeScale(("irrelevant", "weak", "strong"))


@pytest.mark.parametrize("value", ["weak", " WEAK ", 1, 1.0, "1", "1.0", np.int64(1), np.float32(1)])
def test_a_grade_is_read_from_its_name_or_its_number(value: object) -> None:
    assert SCALE.parse(value) == 1


@pytest.mark.parametrize("value", ["good", "", 3, -1, 1.5, float("nan"), float("inf"), None, True, [1]])
def test_anything_else_is_refused_with_what_would_do(value: object) -> None:
    with pytest.raises(GradeError, match="0 … 2 or one of irrelevant, weak, strong"):
        SCALE.parse(value)


@pytest.mark.parametrize("value", ["1", 1, 1.0, "1.0"])
def test_a_name_that_is_a_number_wins_over_the_number_in_text_and_integer_alike(value: object) -> None:
    assert GradeScale(("1", "2", "3")).parse(value) == 0


@pytest.mark.parametrize(("names", "value"), [(("1", "2", "3", "4"), 0), (("0", "1", "3"), "2"), (("1.0", "2.5"), 0)])
def test_where_names_are_numbers_another_number_is_no_place(names: tuple[str, ...], value: object) -> None:
    with pytest.raises(GradeError, match=f"use one of {', '.join(names)}$"):
        GradeScale(names).parse(value)
    assert GradeScale(names).parse(float(names[1])) == 1


@pytest.mark.parametrize(
    ("names", "gains"),
    [
        (("only",), ()),
        (("a", "A"), ()),
        (("a", " "), ()),
        (("a", "b"), (0.0,)),
        (("a", "b"), (1.0, 1.0)),
        (("a", "b"), (1.0, 0.0)),
        (("a", "b"), (0.0, float("inf"))),
    ],
)
def test_what_is_no_scale_is_refused(names: tuple[str, ...], gains: tuple[float, ...]) -> None:
    with pytest.raises(GradeError):
        GradeScale(names, gains)


def test_gains_default_to_equal_steps() -> None:
    assert SCALE.gains == (0.0, 1.0, 2.0)


def test_the_relevance_score_is_the_expected_gain_between_the_ends() -> None:
    scale = GradeScale(("no", "partly", "yes"), (1.0, 2.0, 5.0))
    probabilities = np.array([[1.0, 0, 0], [0, 0, 1.0], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(scale.expected_gain(probabilities), [1.0, 5.0, 2.25])
    np.testing.assert_allclose(scale.relevance(probabilities), [0.0, 1.0, 1.25 / 4])


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda p: sum(p) > 0))
def test_the_relevance_score_lies_in_0_to_1(weights: list[float]) -> None:
    probabilities = np.array([weights]) / np.sum(weights)
    assert 0.0 <= SCALE.relevance(probabilities)[0] <= 1.0


def test_a_scale_survives_its_dictionary() -> None:
    scale = GradeScale(("no", "yes"), (0.0, 3.0))
    assert GradeScale.from_dict(scale.to_dict()) == scale
