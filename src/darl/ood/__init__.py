"""OOD detection on any feature matrix: detectors, their registry, and references with percentiles.

Every score is **larger = further out**.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> reference = fit_reference(rng.normal(2, 1, (300, 8)), rng.normal(2, 1, (200, 8)), detector="mahalanobis")
>>> auroc(reference.held_out_scores, reference.score(rng.normal(6, 1, (50, 8)))) > 0.99
True
"""

from darl.ood.base import Detector
from darl.ood.energy import Energy
from darl.ood.fusion import Fusion
from darl.ood.knn import KNN
from darl.ood.mahalanobis import Mahalanobis
from darl.ood.msp import MSP
from darl.ood.peers import Peer
from darl.ood.reference import OODReference, fit_reference
from darl.ood.registry import detector_names, make_detector
from darl.ood.separation import auroc, fpr_at_95_tpr

__all__ = [
    "KNN",
    "MSP",
    "Detector",
    "Energy",
    "Fusion",
    "Mahalanobis",
    "OODReference",
    "Peer",
    "auroc",
    "detector_names",
    "fit_reference",
    "fpr_at_95_tpr",
    "make_detector",
]
