"""Many fine-tunings of one encoder at once: copies of its weights stacked into one network of batched products.

A small encoder keeps a GPU waiting for launches; S copies of it, each on its own batch, do not. Every linear layer is a
batched product over (S, tokens, d), so S fits cost little more than one, and each is the fit that `darl fit` would
make: same network (BERT's sequence classifier), frozen embeddings, dropout, AdamW, linear rate with warm-up, gradients
clipped for each copy. What differs is the order in which its pairs are drawn and dropout's draws.

A worker script reads what to do from two files, so that fits can be done on another machine than selections:

    python benchmarks/stacked_fits.py SUITE.npz JOBS.npz BACKBONE.safetensors CONFIG.json OUT.npz
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from darl.losses import GradeLoss, make_loss

ROUND = 8
"""Batches are padded to a multiple of so many tokens."""

SCORED_AT_ONCE = 400_000
"""Tokens of all copies together in one pass without gradients."""


@dataclass(frozen=True)
class Suite:
    """Encoded pairs: ids and types (n, T) padded with zeros, lengths (n,), grades (n,)."""

    ids: np.ndarray
    types: np.ndarray
    lengths: np.ndarray
    grades: np.ndarray


@dataclass(frozen=True)
class Jobs:
    """S fits of equally many pairs.

    Attributes:
        rows: the training pairs of each, (S, n). weights: of these pairs, (S, n).
        seeds: (S,). head: the head that each begins with, (S, K, d), and its bias, (S, K).
        score: rows that every finished fit gives its logits of, (m,).
        epochs, batch, rate: as in a recipe.
        losses: JSON, [[name, parameters], …]; the first takes the first S / (number of losses) copies, and so on.
        ema: how much of the running mean of the weights a step keeps; 0 for no mean.
    """

    rows: np.ndarray
    weights: np.ndarray
    seeds: np.ndarray
    head: np.ndarray
    bias: np.ndarray
    score: np.ndarray
    epochs: float = 3.0
    batch: int = 32
    rate: float = 2e-4
    warmup: float = 0.1
    decay: float = 0.01
    clip: float = 1.0
    losses: str = '[["occ", {}]]'
    dropout: float = 0.1
    ema: float = 0.0


class StackedBert(nn.Module):
    """S copies of a BERT sequence classifier; only the embeddings, which are frozen, are shared.

    Args:
        state: of transformers' ``BertModel``. config: of the same.
        head, bias: (S, K, d) and (S, K).
    """

    def __init__(self, state: dict[str, torch.Tensor], config: dict, head: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        copies = len(head)
        state = {name.removeprefix("bert."): tensor.float() for name, tensor in state.items()}
        self.heads, self.eps = config["num_attention_heads"], config["layer_norm_eps"]
        self.layers, width = config["num_hidden_layers"], config["hidden_size"]
        self.words = state["embeddings.word_embeddings.weight"]
        self.places = state["embeddings.position_embeddings.weight"]
        self.kinds = state["embeddings.token_type_embeddings.weight"]
        self.norm = state["embeddings.LayerNorm.weight"], state["embeddings.LayerNorm.bias"]
        names = [name for name in state if name.startswith("encoder.layer.")]
        stacked = {name: state[name] for name in names}
        # as `darl.model.head.settle_pooler` does where the checkpoint has none
        stacked["pooler.dense.weight"] = state.get("pooler.dense.weight", torch.eye(width) * 0.5)
        stacked["pooler.dense.bias"] = state.get("pooler.dense.bias", torch.zeros(width))
        self.stacked = nn.ParameterDict(
            {name.replace(".", "/"): nn.Parameter(t.repeat(copies, *[1] * t.ndim)) for name, t in stacked.items()}
        )
        self.stacked["classifier/weight"] = nn.Parameter(torch.from_numpy(head.astype(np.float32)))
        self.stacked["classifier/bias"] = nn.Parameter(torch.from_numpy(bias.astype(np.float32)))

    def to(self, *args, **kwargs):
        moved = super().to(*args, **kwargs)
        for name in ("words", "places", "kinds"):
            setattr(self, name, getattr(self, name).to(*args, **kwargs))
        self.norm = tuple(part.to(*args, **kwargs) for part in self.norm)
        return moved

    def forward(
        self, ids: torch.Tensor, types: torch.Tensor, lengths: torch.Tensor, dtype: torch.dtype, dropout: float = 0.0
    ) -> torch.Tensor:
        """Logits, (S, b, K) float32, of ids and types (S, b, T); a first axis of 1 is read by every copy."""

        def drop(x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(x, dropout) if dropout else x

        def p(name: str) -> torch.Tensor:
            return self.stacked[name.replace(".", "/")]

        def linear(x: torch.Tensor, name: str) -> torch.Tensor:
            return torch.baddbmm(
                p(f"{name}.bias").to(dtype).unsqueeze(1), x, p(f"{name}.weight").to(dtype).transpose(1, 2)
            )

        def normed(x: torch.Tensor, name: str) -> torch.Tensor:
            still = layer_norm(x, x.shape[-1:], eps=self.eps)
            return torch.addcmul(
                p(f"{name}.bias").to(dtype).unsqueeze(1), still, p(f"{name}.weight").to(dtype)[:, None]
            )

        copies, (_, b, T) = len(p("classifier.bias")), ids.shape
        places = torch.arange(T, device=ids.device)
        x = self.words[ids] + self.places[places] + self.kinds[types]
        x = layer_norm(x, x.shape[-1:], *self.norm, self.eps).to(dtype)
        x = drop(x.expand(copies, b, T, -1).reshape(copies, b * T, -1))
        width = x.shape[-1]
        mask = (places < lengths[..., None]).expand(copies, b, T).reshape(copies * b, 1, 1, T)

        def split(y: torch.Tensor) -> torch.Tensor:
            return y.view(copies * b, T, self.heads, -1).transpose(1, 2)

        for layer in range(self.layers):
            at = f"encoder.layer.{layer}"
            q, k, v = (split(linear(x, f"{at}.attention.self.{kind}")) for kind in ("query", "key", "value"))
            read = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
            read = read.transpose(1, 2).reshape(copies, b * T, width)
            x = normed(x + drop(linear(read, f"{at}.attention.output.dense")), f"{at}.attention.output.LayerNorm")
            inner = linear(gelu(linear(x, f"{at}.intermediate.dense")), f"{at}.output.dense")
            x = normed(x + drop(inner), f"{at}.output.LayerNorm")
        first = x.view(copies, b, T, width)[:, :, 0]
        pooled = drop(torch.tanh(linear(first, "pooler.dense")))
        return linear(pooled, "classifier").float()


def fit_and_score(
    network: StackedBert, suite: Suite, jobs: Jobs, device: str, dtype: torch.dtype
) -> dict[str, np.ndarray]:
    """Trains the copies in place; the logits of ``jobs.score`` by name, (S, m, K) float32: last weights, their mean."""
    mean = train_copies(network, suite, jobs, device, dtype)
    found = {"logits": score_copies(network, suite, jobs.score, device, dtype)}
    if mean:
        for parameter, average in zip(network.stacked.values(), mean, strict=True):
            parameter.data.copy_(average)
        found["mean_logits"] = score_copies(network, suite, jobs.score, device, dtype)
    return found


def train_copies(
    network: StackedBert, suite: Suite, jobs: Jobs, device: str, dtype: torch.dtype
) -> list[torch.Tensor] | None:
    """All epochs of all copies, in place; the running mean of the weights, where asked for."""
    order, shares = batches_of(jobs)  # (S, steps, batch)
    longest_last = np.argsort(np.take(suite.lengths, order), axis=2, kind="stable")
    order, shares = np.take_along_axis(order, longest_last, 2), np.take_along_axis(shares, longest_last, 2)
    losses = [make_loss(name, jobs.head.shape[1], **params).to(device) for name, params in json.loads(jobs.losses)]
    tables = tensors(suite, device)
    decayed = [p for n, p in network.stacked.items() if p.ndim > 2]
    plain = [p for n, p in network.stacked.items() if p.ndim <= 2]
    groups = [{"params": decayed, "weight_decay": jobs.decay}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=jobs.rate, fused=True)
    steps = order.shape[1]
    warm = int(jobs.warmup * steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: s / max(1, warm) if s < warm else max(0.0, (steps - s) / max(1, steps - warm))
    )
    torch.manual_seed(int(jobs.seeds[0]))
    parameters = list(network.stacked.values())
    mean = [p.detach().clone() for p in parameters] if jobs.ema else None
    lengths_of = np.take(suite.lengths, order).max(axis=0)  # (steps, batch)
    order, shares = torch.from_numpy(order).to(device), torch.from_numpy(shares).to(device)
    # few pairs are long: a batch's longest quarter goes by itself, so that the others are not padded to it
    cut = jobs.batch - jobs.batch // 4
    for step in range(steps):
        for part in (slice(0, cut), slice(cut, jobs.batch)):
            rows = order[:, step, part]
            T = padded(int(lengths_of[step, part].max()), tables[0].shape[1])
            ids, types, lengths, grades = (t[rows] for t in tables)
            logits = network(ids[..., :T], types[..., :T], lengths, dtype, jobs.dropout)
            per_copy(losses, logits, grades, shares[:, step, part]).backward()
        clip_copies(parameters, jobs.clip)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        if mean:
            keep = min(jobs.ema, step / (step + 10))
            torch._foreach_lerp_(mean, [p.data for p in parameters], 1 - keep)
    return mean


def padded(length: int, most: int) -> int:
    """To a multiple of ROUND, at most ``most``."""
    return min(most, -(-length // ROUND) * ROUND)


def batches_of(jobs: Jobs) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of each step and what each counts for in the mean of its batch, both (S, steps, batch).

    The last batch of an epoch may be smaller: the places left are filled with pairs that count for nothing.
    """
    n, size = jobs.rows.shape[1], jobs.batch
    per_epoch = -(-n // size)
    steps = int(np.ceil(per_epoch * jobs.epochs))
    order = np.empty((len(jobs.rows), steps, size), dtype=np.int64)
    shares = np.zeros((len(jobs.rows), steps, size), dtype=np.float32)
    for copy, seed in enumerate(jobs.seeds):
        rng = np.random.default_rng([int(seed), 7])
        for start in range(0, steps, per_epoch):
            drawn = rng.permutation(n)
            for step in range(start, min(steps, start + per_epoch)):
                places = drawn[(step - start) * size : (step - start + 1) * size]
                weights = jobs.weights[copy, places]
                order[copy, step] = jobs.rows[copy, np.resize(places, size)]
                shares[copy, step, : len(places)] = weights / weights.sum()
    return order, shares


def per_copy(losses: list[GradeLoss], logits: torch.Tensor, grades: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Σ over copies of each one's weighted mean loss: no copy's gradient depends on another's."""
    each = len(logits) // len(losses)
    total = logits.new_zeros(())
    for place, loss in enumerate(losses):
        mine = slice(place * each, (place + 1) * each)
        costs = loss.per_pair(logits[mine].flatten(0, 1), grades[mine].flatten())
        total = total + (costs.view_as(shares[mine]) * shares[mine]).sum()
    return total


def clip_copies(parameters: list[nn.Parameter], most: float) -> None:
    """Each copy's gradient scaled down to the norm ``most`` where it is longer."""
    squares = [p.grad.flatten(1).pow(2).sum(1) for p in parameters if p.grad is not None]
    factor = (most / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    for p in parameters:
        if p.grad is not None:
            p.grad.mul_(factor.view(-1, *[1] * (p.ndim - 1)))


@torch.no_grad()
def score_copies(network: StackedBert, suite: Suite, rows: np.ndarray, device: str, dtype: torch.dtype) -> np.ndarray:
    """The logits of the same pairs by every copy, (S, m, K) float32."""
    tables = tensors(suite, device)
    copies, K = network.stacked["classifier/bias"].shape
    out = np.empty((copies, len(rows), K), dtype=np.float32)
    order = np.argsort(-suite.lengths[rows], kind="stable")
    start = 0
    while start < len(rows):
        T = padded(int(suite.lengths[rows[order[start]]]), tables[0].shape[1])
        part = order[start : start + max(1, SCORED_AT_ONCE // (copies * T))]
        at = torch.from_numpy(rows[part]).to(device)[None]
        ids, types, lengths, _ = (t[at] for t in tables)
        out[:, part] = network(ids[..., :T], types[..., :T], lengths, dtype).cpu().numpy()
        start += len(part)
    return out


def tensors(suite: Suite, device: str) -> tuple[torch.Tensor, ...]:
    """ids, types, lengths and grades on the device."""
    arrays = (suite.ids, suite.types, suite.lengths, suite.grades)
    return tuple(torch.from_numpy(a.astype(np.int64)).to(device) for a in arrays)


def load_suite_file(path: Path) -> Suite:
    with np.load(path) as saved:
        return Suite(*(saved[name] for name in ("ids", "types", "lengths", "grades")))


def load_jobs(path: Path) -> Jobs:
    with np.load(path) as saved:
        return Jobs(**{name: a if a.ndim else a.item() for name, a in ((k, saved[k]) for k in saved.files)})


def main(suite: str, jobs: str, weights: str, config: str, out: str) -> None:
    from safetensors.torch import load_file

    todo, started = load_jobs(Path(jobs)), time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16
    if device == "cpu":
        from darl.model.precision import native_bfloat16  # loads transformers, which a GPU machine can do without

        dtype = torch.bfloat16 if native_bfloat16() else torch.float32
    network = StackedBert(load_file(weights), json.loads(Path(config).read_text()), todo.head, todo.bias).to(device)
    found = fit_and_score(network, load_suite_file(Path(suite)), todo, device, dtype)
    name = torch.cuda.get_device_name(0) if device == "cuda" else "none"
    np.savez(out, seconds=time.monotonic() - started, device=name, **found)
    print(f"{out}: {len(todo.rows)} fits in {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
