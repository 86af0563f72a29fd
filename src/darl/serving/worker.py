"""The worker: a process that holds the model and scores what the server sends it.

    python -m darl.serving.worker        (started by the server; talks in frames on its pipes)

It imports the libraries, says so, and waits for a folder to load: a spare is a worker that has not been
told yet. It leaves when its input ends, so it never outlives the server, however that one ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from darl.errors import DarlError
from darl.memory import FreedMemory, imported_to_stay, keep_freed_memory, keep_little_code
from darl.serving.frames import pack, read
from darl.serving.version import read_unchanged

if TYPE_CHECKING:
    from pathlib import Path

    from darl.model.scorer import PairScorer
    from darl.serving.loading import Served
    from darl.serving.nearest import NearestPairs

NICE = 5
PROBE = (["probe"] * 16, ["a probe that says whether the model can score at all"] * 16)


def main() -> None:
    """Read requests and write replies until the input ends."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # these are the server's to act on; it closes the pipe
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    # The server must answer (and refuse) at once while this process computes on every core.
    with contextlib.suppress(OSError):
        os.nice(NICE)
    keep_freed_memory()
    keep_little_code()
    # Whatever a library prints must not get among the frames.
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        rest = memoryview(pack(message))
        while rest:
            rest = rest[output.write(rest) :]

    with imported_to_stay():
        from darl.model.saving import model_folder
        from darl.progress import quiet_libraries
        from darl.serving.loading import describe, keep_prefixes, lay_out, prefix_tokens

        quiet_libraries()
    send({"event": "imported"})
    scorer: BatchScorer | None = None
    model: Served | None = None
    freed = FreedMemory(learns=True)
    while (message := read(sys.stdin.buffer)) is not None:
        try:
            if message["op"] == "load":
                find, load = partial(model_folder, message["folder"]), partial(_load, message)
                scorer = model = known = None  # not two at a time
                found = read_unchanged(find, load, message["known"])
                model, known, missing = found.model
                lay_out(model, ood=message["ood"])
                scorer = BatchScorer(model, message["batch_tokens"], known)
                facts = describe(model, found.version, missing)
                rate = probe(scorer, ood=message["ood"])
                keep_prefixes(model, message["prefix_cache_mb"])  # the probe, which repeats itself, goes without
                reply = {"facts": facts.to_dict(), "rate": rate, "folder": str(found.folder)}
                send({"id": message["id"], **reply, "signature": found.signature})
            else:
                assert scorer is not None
                assert model is not None
                begin, before = time.monotonic(), prefix_tokens(model)
                slices = scorer.score(message["slices"])
                taken, computed = (now - then for now, then in zip(prefix_tokens(model), before, strict=True))
                reply = {"slices": slices, "seconds": time.monotonic() - begin, "taken": taken, "computed": computed}
                send({"id": message["id"], **reply})
                freed.give_back_if_much()
        except DarlError as error:
            send({"id": message["id"], "error": {"what": error.what, "where": error.where, "mend": error.mend}})
        except Exception as error:
            what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            send({"id": message["id"], "error": {"what": what, "where": message.get("folder"), "mend": None}})


def _load(message: dict[str, Any], folder: Path) -> tuple[Served, NearestPairs | None, str | None]:
    """The scorer in a folder and what names its nearest training pairs, or why nothing does."""
    from darl.serving.loading import load_served, nearest_pairs

    ood = message["ood"]
    model = load_served(folder, ood=ood, **{name: message[name] for name in ("device", "dtype", "threads")})
    return model, *nearest_pairs(model, folder, wanted=message["nearest"], ood=ood)


class BatchScorer:
    """Scores slices of several requests together; each slice gets its own outcome.

    Args:
        model: loaded.
        batch_tokens: tokens of a forward pass, padding included.
        known: names the nearest training pairs, where the slices ask for them.
    """

    def __init__(self, model: PairScorer, batch_tokens: int, known: NearestPairs | None = None) -> None:
        self.model, self.batch_tokens, self.known = model, batch_tokens, known

    def score(self, slices: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One outcome a slice: its columns, or ``{"error": …}`` where the model fails on this slice.

        Args:
            slices: each ``{"queries": […], "items": […], "ood": bool}``, the texts of equal number, and how
                many training pairs are wanted as ``nearest``, which needs ``ood``.
        """
        try:
            return self._together(slices)
        except Exception as error:
            if len(slices) == 1:
                return [{"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}]
            # One poisonous request must harm no other: each on its own.
            return [self.score([one])[0] for one in slices]

    def _together(self, slices: list[dict[str, Any]]) -> list[dict[str, Any]]:
        model = self.model
        queries = [query for part in slices for query in part["queries"]]
        items = [item for part in slices for item in part["items"]]
        encoded = model.encode(queries=queries, items=items)
        logits = model.logits(encoded, tokens_per_batch=self.batch_tokens)
        scores = model.scores_from(logits)
        far = [row for row, wanted in enumerate(_per_pair(slices, "ood")) if wanted] if model.ood is not None else []
        out: dict[int, tuple[float, float]] = {}
        near: dict[int, list[dict[str, Any]]] = {}
        if far and model.ood is not None:
            features = model.ood_features(encoded.take(far), logits[far])
            found = model.ood.score(features)
            out = dict(zip(far, zip(found.tolist(), model.ood.percentile_of(found).tolist(), strict=True), strict=True))
            counts = _per_pair(slices, "nearest")
            if self.known is not None and any(counts):
                named = self.known.of(features, max(counts))
                near = {row: pairs[: counts[row]] for row, pairs in zip(far, named, strict=True)}
        lengths = encoded.lengths.tolist()
        outcomes, begin = [], 0
        for part in slices:
            end = begin + len(part["queries"])
            pairs = [out.get(row) for row in range(begin, end)]
            outcomes.append(
                {
                    "grades": scores.grades[begin:end].tolist(),
                    "probabilities": scores.probabilities[begin:end].tolist(),
                    "relevance": scores.relevance[begin:end].tolist(),
                    "ood": pairs if any(pair is not None for pair in pairs) else None,
                    "nearest": [near[row] for row in range(begin, end)] if near and part.get("nearest") else None,
                    "tokens": lengths[begin:end],
                }
            )
            begin = end
        return outcomes


def probe(scorer: BatchScorer, *, ood: bool) -> float:
    """Score a probe twice, as a request would be; tokens per second of the second time.

    The first time brings what is loaded late (the frozen base of the OOD reference among it).

    Raises:
        RuntimeError: the model loads but cannot score.
    """
    seconds, tokens = 1.0, 0
    for wanted in (ood, False):
        begin = time.monotonic()
        (outcome,) = scorer.score([{"queries": PROBE[0], "items": PROBE[1], "ood": wanted}])
        if "error" in outcome:
            raise RuntimeError(f"the model loads but cannot score: {outcome['error']}")
        seconds, tokens = time.monotonic() - begin, sum(outcome["tokens"])
    return tokens / max(seconds, 1e-6)


def _per_pair(slices: list[dict[str, Any]], name: str) -> list[int]:
    return [int(part.get(name, 0)) for part in slices for _ in part["queries"]]


if __name__ == "__main__":
    main()
