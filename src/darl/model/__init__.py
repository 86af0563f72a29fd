"""RelevanceModel and what it is made of."""

from darl.model.backbones import load_backbone, resolve_backbone
from darl.model.relevance_model import RelevanceModel
from darl.model.scores import Scores
from darl.model.template import PairTemplate

__all__ = ["PairTemplate", "RelevanceModel", "Scores", "load_backbone", "resolve_backbone"]
