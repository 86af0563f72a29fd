"""DASA: which pairs of an unlabelled pool to label next.

candidates (every pool pair, with its OOD score) → guards (what must not be picked) → ranked by a strategy →
picked, each pick with a reason in words. :func:`merge_labels` brings the labelled picks back.
"""

from darl.dasa.candidates import Candidates
from darl.dasa.guards import Guard, Verdict
from darl.dasa.labels import UnlabelledPicksError, label_picks, merge_labels
from darl.dasa.picked import Selection
from darl.dasa.selection import select
from darl.dasa.strategies import Context, Strategy, make_strategy, register_strategy, strategy_names

__all__ = [
    "Candidates",
    "Context",
    "Guard",
    "Selection",
    "Strategy",
    "UnlabelledPicksError",
    "Verdict",
    "label_picks",
    "make_strategy",
    "merge_labels",
    "register_strategy",
    "select",
    "strategy_names",
]
