"""Losses over K logits for ordinal grades: one file a loss, one registry.

>>> import torch
>>> loss = make_loss("occ", K=3, emd_weight=0.5)
>>> loss(torch.zeros(2, 3), torch.tensor([0, 2])).shape
torch.Size([])
"""

from darl.losses.base import GradeLoss
from darl.losses.cross_entropy import CrossEntropy
from darl.losses.focal import Focal
from darl.losses.label_smoothing import LabelSmoothing
from darl.losses.logit_norm import LogitNorm
from darl.losses.margin_smoothing import MarginSmoothing
from darl.losses.occ import OCC
from darl.losses.ordinal import gain_distances, soft_targets, step_distances
from darl.losses.registry import loss_names, loss_parameters, make_loss
from darl.losses.soft_ordinal import SoftOrdinal
from darl.losses.squared_emd import SquaredEMD

__all__ = [
    "OCC",
    "CrossEntropy",
    "Focal",
    "GradeLoss",
    "LabelSmoothing",
    "LogitNorm",
    "MarginSmoothing",
    "SoftOrdinal",
    "SquaredEMD",
    "gain_distances",
    "loss_names",
    "loss_parameters",
    "make_loss",
    "soft_targets",
    "step_distances",
]
