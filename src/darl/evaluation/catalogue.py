"""The catalogue of metrics: name, label, which direction is better, what it measures, and the source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricInfo:
    """What a table needs to know of a metric."""

    name: str
    label: str
    higher_is_better: bool
    meaning: str
    source: str
    headline: bool = True


_ENTRIES = (
    MetricInfo("macro_f1", "macro-F1", True, "mean F1 over the grades that occur", "van Rijsbergen 1979"),
    MetricInfo("accuracy", "accuracy", True, "share of pairs with the right grade", "–"),
    MetricInfo("qwk", "QWK", True, "agreement beyond chance, squared distance as cost", "Cohen 1968"),
    MetricInfo("ordinal_mae", "ordinal MAE", False, "mean distance in grades", "Baccianella et al. 2009"),
    MetricInfo("auc", "AUC", True, "mean over k of the AUC of P(grade ≥ k)", "Hanley and McNeil 1982"),
    MetricInfo("nll", "NLL", False, "mean −log p of the true grade, in nats", "Good 1952"),
    MetricInfo("brier", "Brier", False, "squared error of the probabilities, 0 … 2", "Brier 1950"),
    MetricInfo("ece", "ECE", False, "gap of confidence and accuracy, 15 equal widths", "Guo et al. 2017"),
    MetricInfo("ece_by_chance", "ECE by chance", False, "of exact confidences", "Bröcker and Smith 2007", False),
    MetricInfo("ece_adaptive", "adaptive ECE", False, "the same in 15 bins of equal mass", "Nixon et al. 2019", False),
    MetricInfo("ece_classwise", "classwise ECE", False, "mean over the grades", "Kull et al. 2019", False),
    MetricInfo("ndcg@5", "nDCG@5", True, "ranking of the items of a query", "Järvelin and Kekäläinen 2002"),
    MetricInfo("ndcg@10", "nDCG@10", True, "ranking of the items of a query", "Järvelin and Kekäläinen 2002"),
)
METRICS: dict[str, MetricInfo] = {entry.name: entry for entry in _ENTRIES}
HEADLINE: tuple[str, ...] = tuple(entry.name for entry in _ENTRIES if entry.headline)


def metric_info(name: str) -> MetricInfo:
    """The entry of a metric, also of `auc_ge_k`, the AUC at one grade threshold.

    Raises:
        KeyError: no such metric.

    >>> metric_info("nll").higher_is_better, metric_info("auc_ge_2").label
    (False, 'AUC grade ≥ 2')
    """
    if name.startswith("auc_ge_"):
        k = name.removeprefix("auc_ge_")
        meaning = f"AUC of P(grade ≥ {k}) for grade ≥ {k}"
        return MetricInfo(name, f"AUC grade ≥ {k}", True, meaning, METRICS["auc"].source, False)
    return METRICS[name]
