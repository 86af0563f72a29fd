"""Has the traffic moved away from what the model knows, where, and what should be labelled next?"""

from darl.drift.figures import Figures
from darl.drift.judge import WindowDrift, judge_window
from darl.drift.signals import KnownSide

__all__ = ["Figures", "KnownSide", "WindowDrift", "judge_window"]
