"""Evaluation: metrics of graded predictions, calibration, ranking, intervals, slices, the ID–OOD gap, comparison.

Most callers need `evaluate_predictions`, `Evaluation.of`, `compare_predictions` and `render`; the metrics by
themselves stand in `darl.evaluation.metrics`, `.calibration` and `.ranking`.
"""

from darl.evaluation.calibration import ReliabilityBin, adaptive_ece, classwise_ece, ece, ece_by_chance, reliability
from darl.evaluation.catalogue import HEADLINE, METRICS, MetricInfo, metric_info
from darl.evaluation.comparison import Comparison, MetricComparison, Predictions, compare_predictions
from darl.evaluation.intervals import Difference, Interval, bootstrap_interval, paired_bootstrap
from darl.evaluation.metrics import (
    accuracy,
    auc_thresholds,
    brier,
    confusion,
    macro_f1,
    nll,
    ordinal_mae,
    per_grade,
    qwk,
)
from darl.evaluation.ranking import ndcg, query_ndcg
from darl.evaluation.rendering import render
from darl.evaluation.report import Evaluation, SliceEvaluation, SplitEvaluation, evaluate_predictions

__all__ = [
    "HEADLINE",
    "METRICS",
    "Comparison",
    "Difference",
    "Evaluation",
    "Interval",
    "MetricComparison",
    "MetricInfo",
    "Predictions",
    "ReliabilityBin",
    "SliceEvaluation",
    "SplitEvaluation",
    "accuracy",
    "adaptive_ece",
    "auc_thresholds",
    "bootstrap_interval",
    "brier",
    "classwise_ece",
    "compare_predictions",
    "confusion",
    "ece",
    "ece_by_chance",
    "evaluate_predictions",
    "macro_f1",
    "metric_info",
    "ndcg",
    "nll",
    "ordinal_mae",
    "paired_bootstrap",
    "per_grade",
    "query_ndcg",
    "qwk",
    "reliability",
    "render",
]
