"""The places of hidden checks: their number is exact, their place within a stretch is not."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from darl.labelling.schedule import draw, due


@given(share=st.floats(0.01, 0.4), shown=st.integers(0, 3000), key=st.integers())
def test_checks_keep_their_share(share: float, shown: int, key: int) -> None:
    assert abs(due(shown, share, key) - (shown + 1) * share) <= 2
    assert due(shown, share, key) <= due(shown + 1, share, key) <= due(shown, share, key) + 2  # neighbours may meet


@example(share=0.3608607028959623, shown=306, key=5182)  # two fall on one place
@given(share=st.floats(0.01, 0.4), shown=st.integers(0, 3000), key=st.integers())
def test_two_that_fall_on_one_place_are_made_up_for_at_once(share: float, shown: int, key: int) -> None:
    assert due(shown + 2, share, key) <= due(shown, share, key) + 2


@given(share=st.floats(0.05, 0.4), key=st.integers(), block=st.integers(0, 50))
def test_every_stretch_has_its_check(share: float, key: int, block: int) -> None:
    place = int((block + draw(key, block)) / share)  # the docstring's formula, one check at a time
    assert due(place, share, key) >= block + 1
    assert place == 0 or due(place - 1, share, key) <= block


def test_places_are_spread() -> None:
    places = [next(n for n in range(10) if due(n, 0.1, "ann", seed)) for seed in range(500)]
    counts = [places.count(n) for n in range(10)]
    assert min(counts) > 20  # 50 expected, standard deviation 6.7
    assert [due(n, 0.0, "ann") for n in range(50)] == [0] * 50
