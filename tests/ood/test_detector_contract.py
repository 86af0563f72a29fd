"""What every OOD detector must do."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pytest
import torch

from darl.errors import DataError, EmptySplitError, GradeError, ModelError
from darl.ood import Detector, OODReference, auroc, detector_names, fit_reference, make_detector

torch.set_num_threads(1)

# `peer` stands for another library's detectors, which promise less: tests/ood/test_peers.py
VARIANTS = [(name, {}) for name in detector_names() if name != "peer"] + [
    ("knn", {"k": 1, "half": False}),
    ("knn", {"max_reference": 100}),
    ("mahalanobis", {"class_conditional": True}),
    ("mahalanobis", {"relative": True}),
    ("mahalanobis", {"shrinkage": 0.1}),
    ("energy", {"temperature": 2.0}),
    ("fusion", {"members": [{"name": "knn", "columns": [0, 6]}, {"name": "mahalanobis", "relative": True}]}),
]
every_detector = pytest.mark.parametrize(
    ("name", "params"), VARIANTS, ids=[f"{name}{params or ''}" for name, params in VARIANTS]
)


class World(NamedTuple):
    """ID rows to fit on, their grades, ID rows held out, and rows of a far cluster."""

    fitted: np.ndarray
    grades: np.ndarray
    held_out: np.ndarray
    far: np.ndarray


def world(reads: str, seed: int = 0, width: int = 12) -> World:
    """Three grades. As features, one cluster a grade; as logits, a clear winner for ID and none for OOD.

    The far cluster lies beyond one grade, seen from the others: the relative distance sees no other direction.
    """
    rng = np.random.default_rng(seed)
    if reads == "logits":
        grades = rng.integers(3, size=500)
        rows = np.eye(3)[grades] * 8 + rng.normal(0, 1, (500, 3))
        return World(rows[:300], grades[:300], rows[300:], rng.normal(0, 0.5, (150, 3)))
    centres = rng.normal(0, 2, (3, width)) + 6 * np.eye(width)[0]
    grades = rng.integers(3, size=500)
    rows = centres[grades] + rng.normal(0, 1, (500, width))
    middle = centres.mean(axis=0)
    far = 6 * (centres[0] - middle) - middle + rng.normal(0, 1, (150, width))
    return World(rows[:300], grades[:300], rows[300:], far)


def fitted(name: str, params: dict) -> tuple[Detector, World]:
    detector = make_detector(name, **params)
    data = world(detector.reads)
    return detector.fit(data.fitted, data.grades), data


@every_detector
class TestEveryDetector:
    def test_larger_is_further_out(self, name, params):
        detector, data = fitted(name, params)
        assert auroc(detector.score(data.held_out), detector.score(data.far)) > 0.95

    def test_score_is_one_finite_float64_a_row(self, name, params):
        detector, data = fitted(name, params)
        scores = detector.score(data.held_out)
        assert scores.shape == (200,)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
        assert detector.score(data.held_out[:0]).shape == (0,)

    def test_chunks_do_not_matter(self, name, params):
        detector, data = fitted(name, params)
        whole = detector.score(data.held_out, chunk_rows=1000)
        step = {"fusion": 1.0}.get(name, 1e-5)  # a rank may turn on the last bit of a score
        for rows in (1, 7, 200):
            np.testing.assert_allclose(detector.score(data.held_out, chunk_rows=rows), whole, rtol=1e-4, atol=step)

    def test_order_and_company_do_not_matter(self, name, params):
        detector, data = fitted(name, params)
        order = np.random.default_rng(1).permutation(200)
        step = {"fusion": 1.0}.get(name, 1e-5)
        np.testing.assert_allclose(
            detector.score(data.held_out[order]), detector.score(data.held_out)[order], rtol=1e-4, atol=step
        )

    def test_torch_numpy_and_precision_agree(self, name, params):
        detector, data = fitted(name, params)
        rough = torch.tensor(data.held_out).bfloat16()
        expected = detector.score(rough.float().numpy())
        np.testing.assert_array_equal(detector.score(rough), expected)
        np.testing.assert_array_equal(detector.score(rough.double().requires_grad_()), expected)

    def test_fit_is_repeatable_and_leaves_its_input_alone(self, name, params):
        detector, data = fitted(name, params)
        rows = data.fitted.astype(np.float32)
        before = rows.copy()
        again = make_detector(name, **params).fit(rows, data.grades)
        np.testing.assert_array_equal(rows, before)
        np.testing.assert_array_equal(again.score(data.far), detector.score(data.far))

    def test_state_and_settings_build_the_twin(self, name, params):
        detector, data = fitted(name, params)
        settings = json.loads(json.dumps(detector.settings()))
        twin = type(detector).from_state(settings, detector.state())
        assert twin.settings() == detector.settings()
        np.testing.assert_array_equal(twin.score(data.held_out), detector.score(data.held_out))

    def test_save_and_load_give_equal_scores(self, name, params, tmp_path):
        detector = make_detector(name, **params)
        data = world(detector.reads)
        reference = fit_reference(
            data.fitted, data.held_out, detector, grades=data.grades, feature_spec={"layer": -2, "model": "tiny"}
        )
        reference.save(tmp_path / "ood.v1")
        loaded = OODReference.load(tmp_path / "ood.v1")
        both = np.concatenate([data.held_out, data.far])
        np.testing.assert_array_equal(loaded.score(both), reference.score(both))
        np.testing.assert_array_equal(loaded.percentile(both), reference.percentile(both))
        assert loaded.feature_spec == {"layer": -2, "model": "tiny"}
        assert repr(loaded) == repr(reference)
        assert {path.name for path in tmp_path.iterdir()} == {"ood.v1.safetensors", "ood.v1.json"}

    def test_one_row_constant_rows_and_zero_rows_are_finite(self, name, params):
        probe = np.vstack([np.zeros(12), np.ones(12), np.arange(12)])
        for rows in (np.ones((1, 12)), np.ones((20, 12)), np.zeros((20, 12))):
            detector = make_detector(name, **params).fit(rows, np.zeros(len(rows), dtype=int))
            assert np.isfinite(detector.score(probe)).all()

    def test_more_columns_than_rows(self, name, params):
        detector = make_detector(name, **params)
        data = world(detector.reads, width=64)
        detector.fit(data.fitted[:20], data.grades[:20])
        scores, far = detector.score(data.held_out), detector.score(data.far)
        assert np.isfinite(scores).all()
        if detector.reads == "features" and not params.get("relative"):
            assert auroc(scores, far) > 0.9

    def test_wrong_use_is_named(self, name, params):
        rows = np.ones((4, 12))
        grades = np.zeros(4, dtype=int)
        fresh = make_detector(name, **params)
        with pytest.raises(ModelError, match="not fitted"):
            fresh.score(rows)
        with pytest.raises(ModelError, match="not fitted"):
            fresh.state()
        with pytest.raises(EmptySplitError):
            fresh.fit(rows[:0], grades[:0])
        with pytest.raises(GradeError):
            fresh.fit(rows, grades[:3])
        with pytest.raises(GradeError):
            fresh.fit(rows, grades + 0.5)
        for bad in (rows[0], rows[:, :0], rows[None], [["a", "b"]]):
            with pytest.raises(DataError):
                fresh.fit(bad, None)
        detector = fresh.fit(rows, grades)
        with pytest.raises(DataError, match=r"11 columns.*fitted on 12"):
            detector.score(rows[:, :11])
        with pytest.raises(ModelError, match="incomplete"):
            type(detector).from_state(detector.settings(), {})

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
    def test_broken_features_are_named_with_their_rows(self, name, params, value):
        rows = np.ones((1500, 12))
        detector = make_detector(name, **params).fit(rows[:4], [0, 0, 1, 1])
        rows[1300, 3] = value
        with pytest.raises(DataError, match="1300"):
            detector.score(rows)
        with pytest.raises(DataError, match="1300"):
            make_detector(name, **params).fit(rows, np.zeros(1500, dtype=int))
