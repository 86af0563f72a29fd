"""OODReference: percentiles, flags, files; and the ranks below it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, percentileofscore

from darl.errors import DataError, EmptySplitError, ModelError, RecipeError, StorageError
from darl.ood import KNN, OODReference, fit_reference
from darl.ood.ranks import percentile_ranks, smooth_ranks

numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(2, 1, (n, 8))


@pytest.fixture
def reference() -> OODReference:
    return fit_reference(rows(300, 0), rows(200, 1), "knn", k=5, feature_spec={"pooling": "last"})


class TestPercentile:
    def test_held_out_pairs_are_uniform(self, reference):
        values = np.sort(reference.percentile(rows(200, 1)))
        np.testing.assert_allclose(values, (np.arange(200) + 0.5) / 2, atol=0.5)

    def test_fresh_id_pairs_are_uniform(self):
        reference = fit_reference(rows(1000, 0), rows(2000, 1), "mahalanobis")
        assert kstest(reference.percentile(rows(500, 2)) / 100, "uniform").pvalue > 0.001

    @given(numbers, numbers)
    def test_against_scipy(self, scores, held_out):
        ours = percentile_ranks(np.array(scores, float), np.sort(np.array(held_out, float)))
        strict = percentileofscore(held_out, scores, kind="mean")
        np.testing.assert_allclose(ours, strict)

    def test_ends(self, reference):
        assert reference.percentile_of([-1e9, 1e9]).tolist() == [0.0, 100.0]

    def test_flags(self, reference):
        assert reference.flag(rows(200, 1)).mean() == pytest.approx(0.05, abs=0.01)
        assert reference.flag(-rows(20, 3)).all()
        assert reference.flag(rows(20, 3), at=0).all()
        for at in (-1, 101, float("nan")):
            with pytest.raises(RecipeError, match="at"):
                reference.flag(rows(2, 0), at=at)


class TestSmoothRanks:
    @given(numbers)
    def test_equal_percentiles_at_held_out_scores(self, held_out):
        known = np.sort(np.array(held_out, float))
        np.testing.assert_allclose(smooth_ranks(known, known), percentile_ranks(known, known))

    @given(numbers, st.lists(st.floats(-100, 100), min_size=2, max_size=10))
    def test_rise_with_the_score_inside_0_and_100(self, held_out, scores):
        ranks = smooth_ranks(np.sort(scores), np.sort(np.array(held_out, float)))
        assert (np.diff(ranks) >= -1e-9).all()
        assert (ranks >= 0).all()
        assert (ranks <= 100).all()


class TestFit:
    def test_a_detector_or_a_name(self):
        by_name = fit_reference(rows(50, 0), rows(20, 1), "knn", k=3)
        by_hand = fit_reference(rows(50, 0), rows(20, 1), KNN(k=3))
        np.testing.assert_array_equal(by_name.held_out_scores, by_hand.held_out_scores)
        with pytest.raises(RecipeError, match="beside"):
            fit_reference(rows(50, 0), rows(20, 1), KNN(), k=3)

    def test_bad_input_is_named(self):
        with pytest.raises(EmptySplitError):
            fit_reference(rows(5, 0), rows(0, 1))
        with pytest.raises(DataError, match="columns"):
            fit_reference(rows(5, 0), rows(5, 1)[:, :3])
        with pytest.raises(DataError, match="finite"):
            OODReference(KNN().fit(rows(5, 0)), [1.0, float("nan")])


class TestFiles:
    def test_missing(self, tmp_path):
        with pytest.raises(StorageError):
            OODReference.load(tmp_path / "ood")

    def test_saving_twice_replaces(self, reference, tmp_path):
        fit_reference(rows(10, 5), rows(10, 6)).save(tmp_path / "ood")
        reference.save(tmp_path / "ood")
        loaded = OODReference.load(tmp_path / "ood")
        np.testing.assert_array_equal(loaded.held_out_scores, reference.held_out_scores)

    def test_files_of_two_references_do_not_mix(self, reference, tmp_path):
        reference.save(tmp_path / "a")
        fit_reference(rows(10, 5), rows(10, 6)).save(tmp_path / "b")
        (tmp_path / "b.safetensors").replace(tmp_path / "a.safetensors")
        with pytest.raises(ModelError, match=r"a\.safetensors"):
            OODReference.load(tmp_path / "a")

    def test_cut_short(self, reference, tmp_path):
        reference.save(tmp_path / "ood")
        path = tmp_path / "ood.safetensors"
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(ModelError):
            OODReference.load(tmp_path / "ood")

    @pytest.mark.parametrize(
        "change",
        [{"format": 99}, {"detector": "oracle"}, {"settings": {"k": -1}}, {"settings": {"q": 1}}, {"settings": None}],
    )
    def test_damaged_facts(self, reference, tmp_path, change):
        reference.save(tmp_path / "ood")
        path = tmp_path / "ood.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(ModelError, match=r"ood\.json"):
            OODReference.load(tmp_path / "ood")
