"""bench: how fast this machine scores with a model, where the time goes, and which settings to use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from darl.model import RelevanceModel
from darl.model.encoding import TOKENS_PER_BATCH, EncodedPairs
from darl.model.inference.packed import is_causal
from darl.model.inference.packs import make_packs
from darl.model.inference.support import why_not_packed
from darl.model.precision import settle_precision
from darl.progress import Reporter
from darl.verbs.inputs import as_model

LIST_LENGTHS = (1, 10, 100)
BUDGETS = (512, 1024, 2048, 4096, 8192)
WORDS = (
    "red blue light heavy running garden table shoe lamp wooden steel round small large cover set of two four for "
    "men women children kitchen with without cable battery water proof size ten pack new travel insurance pet yearly"
)


@dataclass(frozen=True)
class BenchReport:
    """What :func:`bench` measured.

    Attributes:
        packed: None, or why the network is scored in padded batches.
        pairs_per_second: by items of one list. by_budget: on many lists, by tokens of a forward pass.
        shares: of the time (tokenising) and of the tokens (shared: need not be run again; padding: of padded
            batches, which packing does not have).
        limit_gflops: the fastest matrix product of the network's size on this machine.
        reached_gflops: of the network's own matrix products, all other work included in the time.
        half: how many times as fast the same is in bfloat16; None for a model that is not in float32, one that is not
            read from a folder, and on a processor that would emulate it.
        advice: settings, in words.
    """

    dtype: str
    threads: int
    packed: str | None
    pairs_per_second: dict[int, float]
    by_budget: dict[int, float]
    shares: dict[str, float]
    limit_gflops: float
    reached_gflops: float
    half: float | None
    advice: list[str]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"reached_share": self.reached_gflops / self.limit_gflops}

    def __str__(self) -> str:
        lines = [
            f"{self.dtype} on {self.threads} threads, "
            + ("packed" if self.packed is None else f"padded batches: {self.packed}"),
            "items of one query → pairs/s: "
            + ", ".join(f"{n} → {rate:,.1f}" for n, rate in self.pairs_per_second.items()),
            "tokens of a forward pass → pairs/s: "
            + ", ".join(f"{n:,} → {rate:,.1f}" for n, rate in self.by_budget.items()),
            f"tokenising {self.shares['tokenising']:.1%} of the time; {self.shares['shared']:.1%} of the tokens are "
            f"shared; padded batches would be {self.shares['padding']:.1%} padding",
            f"matrix products: {self.reached_gflops:,.0f} of {self.limit_gflops:,.0f} GFLOP/s "
            f"({self.reached_gflops / self.limit_gflops:.0%} of what this machine can)",
        ]
        return "\n".join([*lines, *(f"→ {text}" for text in self.advice)])


def bench(model: RelevanceModel | str | Path, *, seconds: float = 20.0, quiet: bool = True) -> BenchReport:
    """Measure a model on this machine with made-up lists of items.

    Args:
        model: a model, or the folder of one or of a run.
        seconds: about how long to measure; a slow model takes at least one forward pass of each kind.
        quiet: no progress on standard error.

    Raises:
        ModelError: the model cannot be loaded.
    """
    own = not isinstance(model, RelevanceModel)
    model = as_model(model)
    reporter = Reporter(quiet=quiet)
    share = seconds / (len(LIST_LENGTHS) + len(BUDGETS) + 2)
    reporter.say("measuring matrix products")
    limit = product_limit(model, share)
    padded = why_not_packed(model.network.eval(), model.encoder, head=True)
    by_length: dict[int, float] = {}
    for length in LIST_LENGTHS:
        reporter.say(f"lists of {length}")
        by_length[length] = _rate(lambda n=length: _score(model, _lists(1, n), TOKENS_PER_BATCH), length, share)
    queries, items = _lists(4, 30)
    start = time.perf_counter()
    encoded = model.encode(queries=queries, items=items)
    tokenising = time.perf_counter() - start
    by_budget: dict[int, float] = {}
    for budget in BUDGETS:
        reporter.say(f"{budget} tokens a forward pass")
        by_budget[budget] = _rate(lambda b=budget: model.logits(encoded, tokens_per_batch=b), len(encoded), share)
    best = max(by_budget, key=by_budget.__getitem__)
    forward = len(encoded) / by_budget[best]
    real, distinct, with_padding = _tokens(model, encoded, packed=padded is None)
    shares = {
        "tokenising": tokenising / (tokenising + forward),
        "shared": 1 - distinct / real,
        "padding": 1 - real / with_padding,
    }
    reached = 2 * product_weights(model.network) * (distinct if padded is None else with_padding) / forward / 1e9
    dtype = str(model.network.dtype).removeprefix("torch.")
    half = None
    if own and model.network.dtype == torch.float32:
        settle_precision(model.network, "bfloat16")
        if model.network.dtype == torch.bfloat16:
            reporter.say("in bfloat16")
            half = _rate(lambda: model.logits(encoded, tokens_per_batch=best), len(encoded), share) / by_budget[best]
    advice = _advice(model, by_budget, best, padded, half)
    threads = torch.get_num_threads()
    return BenchReport(dtype, threads, padded, by_length, by_budget, shares, limit, reached, half, advice)


def _lists(queries: int, items: int) -> tuple[list[str], list[str]]:
    draw, known = np.random.default_rng(0), WORDS.split()

    def words(low: int, high: int) -> str:
        return " ".join(draw.choice(known, int(draw.integers(low, high))))

    asked = [words(2, 6) for _ in range(queries)]
    return [query for query in asked for _ in range(items)], [words(5, 30) for _ in range(queries * items)]


def _score(model: RelevanceModel, texts: tuple[list[str], list[str]], budget: int) -> None:
    model.logits(model.encode(queries=texts[0], items=texts[1]), tokens_per_batch=budget)


def _rate(work: Callable[[], object], count: int, seconds: float) -> float:
    """Units a second: the median of as many rounds as the time allows, at least one after a warm-up."""
    work()
    rounds: list[float] = []
    while not rounds or (sum(rounds) < seconds and len(rounds) < 50):
        start = time.perf_counter()
        work()
        rounds.append(time.perf_counter() - start)
    return count / float(np.median(rounds))


def product_limit(model: RelevanceModel, seconds: float) -> float:
    """GFLOP/s of the largest linear layer's product with a few hundred tokens, the best of several."""
    layers = [module.weight for module in model.network.modules() if isinstance(module, nn.Linear | Conv1D)]
    wide = max(layers, key=lambda weight: weight.numel())
    weight = torch.randn(wide.shape, dtype=wide.dtype, device=wide.device)
    best = 0.0
    with torch.inference_mode():
        for tokens in (256, 1024, 4096):
            states = torch.randn(tokens, weight.shape[1], dtype=weight.dtype, device=weight.device)

            def product(states: torch.Tensor = states) -> None:
                found = states @ weight.T
                float(found[0, 0])  # waits for a GPU

            product()
            begun = time.perf_counter()
            while time.perf_counter() - begun < seconds / 3:
                start = time.perf_counter()
                product()
                best = max(best, 2 * tokens * weight.numel() / (time.perf_counter() - start) / 1e9)
    return best


def product_weights(network: nn.Module) -> int:
    """Weights that every token is multiplied with."""
    return sum(module.weight.numel() for module in network.modules() if isinstance(module, nn.Linear | Conv1D))


def _tokens(model: RelevanceModel, encoded: EncodedPairs, *, packed: bool) -> tuple[int, int, int]:
    """Tokens of the pairs, distinct ones as packed, and those of padded batches with their padding."""
    lengths = encoded.lengths
    padded = sum(len(rows) * int(lengths[rows].max()) for rows, _ in model.encoder.batches(encoded, TOKENS_PER_BATCH))
    real = distinct = int(lengths.sum())
    if packed:
        packs = make_packs(encoded, TOKENS_PER_BATCH, share=is_causal(model.network))
        distinct = sum(len(pack.tree) for pack in packs)
    return real, distinct, padded


def _advice(
    model: RelevanceModel, by_budget: dict[int, float], best: int, padded: str | None, half: float | None
) -> list[str]:
    found = []
    if half is not None and half > 1.05:
        found.append(
            f"--dtype bfloat16 (dtype=bfloat16 of `darl serve`) scores {half:.1f} times as many pairs a second, with "
            "probabilities rounded: judge it by `darl evaluate --dtype bfloat16`"
        )
    if by_budget[best] > 1.05 * by_budget[TOKENS_PER_BATCH]:
        gain = by_budget[best] / by_budget[TOKENS_PER_BATCH] - 1
        found.append(f"--tokens-per-batch {best} scores {gain:.0%} more pairs a second than the default")
    if padded is not None:
        found.append("the network cannot be packed: sort pairs by length, or choose another backbone")
    elif is_causal(model.network):
        found.append("keep the items of a query together in the file: they share its tokens")
    if model.network.device.type == "cpu" and not is_causal(model.network):
        found.append(
            "on a CPU, `darl export --int8` and --runtime onnx trade a little quality for speed: see its report"
        )
    return found or ["the defaults are the best that was tried"]
