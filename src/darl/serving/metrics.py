"""Metrics: what Prometheus reads at ``/metrics``."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from darl.serving.facts import ModelFacts, PairScore

disable_created_metrics()  # the time of birth of every series doubles the output and nobody asks for it

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
PERCENTILES = (10, 25, 50, 75, 90, 95, 99, 100)


class Metrics:
    """Counters, gauges and histograms of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "darl_requests", "Answered requests.", ["dialect", "status"], registry=registry
        )  # exported as darl_requests_total
        self.latency = Histogram(
            "darl_request_seconds", "From the first byte of a request to its answer.", ["dialect"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.refused = Counter("darl_refused", "Requests without scores, by reason.", ["reason"], registry=registry)
        self.active = Gauge("darl_active_requests", "Requests being answered.", registry=registry)
        self.queue_tokens = Gauge("darl_queue_tokens", "Estimated tokens accepted, not scored.", registry=registry)
        self.batch_seconds = Histogram(
            "darl_batch_seconds", "Time to score a batch.", buckets=SECONDS, registry=registry
        )
        self.batch_wait = Histogram(
            "darl_batch_wait_seconds", "A batch's time at the worker, scoring included.",
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.batch_requests = Histogram(
            "darl_batch_slices", "Slices of requests in a batch.", buckets=COUNTS, registry=registry
        )
        self.batch_pairs = Histogram("darl_batch_pairs", "Pairs in a batch.", buckets=COUNTS, registry=registry)
        self.batch_tokens = Histogram(
            "darl_batch_tokens", "Estimated tokens in a batch.", buckets=TOKENS, registry=registry
        )
        self.tokens = Counter("darl_tokens", "Tokens scored.", registry=registry)
        self.prefix_tokens = Counter(
            "darl_prefix_tokens", "Tokens taken from kept prefixes, and tokens computed beside them.",
            ["source"], registry=registry,
        )  # fmt: skip
        self.pairs = Counter("darl_pairs", "Pairs scored.", registry=registry)
        self.grades = Counter("darl_grades", "Pairs by the grade they got.", ["grade"], registry=registry)
        self.flagged = Counter("darl_ood_pairs", "Pairs by whether they are flagged.", ["flag"], registry=registry)
        self.percentiles = Histogram("darl_ood_percentile", "OOD percentiles.", buckets=PERCENTILES, registry=registry)
        self.workers = Gauge("darl_workers", "Workers that take work.", registry=registry)
        self.deaths = Counter("darl_worker_deaths", "Workers that ended unasked.", registry=registry)
        self.reloads = Counter("darl_reloads", "Reloads by outcome.", ["outcome"], registry=registry)
        self.ready = Gauge("darl_ready", "1 when a probe scored and requests are taken.", registry=registry)
        self.model = Gauge("darl_model_info", "The model that serves.", ["name", "version"], registry=registry)
        self.logged = Counter("darl_traffic_rows", "Rows of the traffic log.", ["outcome"], registry=registry)

    def note_batch(self, slices: int, pairs: int, tokens: int) -> None:
        self.batch_requests.observe(slices)
        self.batch_pairs.observe(pairs)
        self.batch_tokens.observe(tokens)

    def note_scored(self, tokens: int, seconds: float, waited: float) -> None:
        self.tokens.inc(tokens)
        self.batch_seconds.observe(seconds)
        self.batch_wait.observe(waited)

    def note_prefixes(self, taken: int, computed: int) -> None:
        """Tokens of a batch that a model which keeps prefixes had already, and those that it had not."""
        self.prefix_tokens.labels("kept").inc(taken)
        self.prefix_tokens.labels("computed").inc(computed)

    def note_pairs(self, facts: ModelFacts, rows: Sequence[PairScore], flag_at: float) -> None:
        """Grade mix and OOD share of an answered request."""
        self.pairs.inc(len(rows))
        counts = [0] * len(facts.grades)
        for row in rows:
            counts[row.grade] += 1
            if row.ood_percentile is not None:
                self.percentiles.observe(row.ood_percentile)
                self.flagged.labels("yes" if row.ood_percentile >= flag_at else "no").inc()
        for name, count in zip(facts.grades, counts, strict=True):
            if count:
                self.grades.labels(name).inc(count)

    def note_model(self, name: str, facts: ModelFacts) -> None:
        self.model.clear()
        self.model.labels(name, facts.version).set(1)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
