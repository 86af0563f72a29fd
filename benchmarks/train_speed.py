"""Training steps a second: darl against sentence-transformers' CrossEncoderTrainer, the same pairs, loss and dtype.

    python benchmarks/train_speed.py                          # SmolLM2-135M on retail, bare prompt and guideline
    python benchmarks/train_speed.py --backbone minilm-l6 --prompts bare --steps 10

Both fine-tune all weights of the same saved folder in float32 with AdamW and cross-entropy on the same pairs in
batches of --batch, in turn. The time is that between the ends of the first and the last step, so neither pays for
its start. `ratio_PROMPT` is of the median pairs a second, `ratio` that of the bare prompt; the rows have every run. A
step costs darl its distinct tokens: what the batch's pairs share (the prompt, a query that comes twice) stands once,
and nothing is padded. Freed memory is kept for both, as `darl fit` keeps it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import CrossEntropyLoss
from transformers import TrainerCallback

from darl.losses import make_loss
from darl.memory import keep_freed_memory
from darl.model import RelevanceModel
from darl.model.inference.packs import make_packs
from darl.pairs import PairTable, read_pairs
from darl.progress import quiet_libraries
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.storage import atomic_write_json
from darl.training.tune import tune_model
from machine import commit, machine
from peer import PROMPTS, as_probabilities, limit_share, require_same, save_fresh

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--prompts", nargs="+", default=["bare", "guideline"], choices=list(PROMPTS))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5, help="of each run; the first is not timed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu", help="cuda: autocast to bfloat16; writes train_speed-gpu.json")
    args = parser.parse_args()
    quiet_libraries()
    keep_freed_memory()
    if args.threads:
        torch.set_num_threads(args.threads)
    on_gpu = args.device != "cpu"
    precision = "bfloat16" if on_gpu else "float32"
    count = args.batch * args.steps
    recipe = load_recipe(
        HERE / "recipes" / "retail.yaml",
        [f"backbone.name={args.backbone}", f"data.train.sample={count}", f"tune.batch_size={args.batch}",
         "tune.epochs=1", "tune.freeze_embeddings=false", "loss=cross_entropy", f"tune.precision={precision}",
         "tune.checkpoints=1"],
    )  # fmt: skip
    source = recipe.data.train[0]
    pairs = read_pairs(source.path, scale=recipe.grades.scale(), where=source.where).sample(count, seed=0)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for prompt in args.prompts:
            folder = save_fresh(args.backbone, prompt, Path(scratch) / prompt, max_length=160)
            rows += compare(folder, prompt, pairs, recipe, args, Path(scratch))
    found = headline(rows)
    for row in rows:
        print(f"{row['prompt']:<10} {row['way']:<20} {row['pairs_per_second']:7.2f} pairs/s  {row['seconds']}")
    print(found)
    command = f"python benchmarks/train_speed.py --backbone {args.backbone} --batch {args.batch}"
    command += f" --steps {args.steps} --repeats {args.repeats}"
    command += f" --device {args.device}" if on_gpu else ""
    name = "train_speed-gpu" if on_gpu else "train_speed"
    facts = {"benchmark": name, "command": command, "commit": commit()}
    where = machine() | {"threads": torch.get_num_threads()}
    atomic_write_json(RESULTS / f"{name}.json", facts | {"machine": where} | {"headline": found, "rows": rows})


def compare(
    folder: Path, prompt: str, pairs: PairTable, recipe: Recipe, args: argparse.Namespace, scratch: Path
) -> list[dict]:
    """Seconds and mean loss of each run of each tool."""
    few = pairs.take(range(4))
    own = RelevanceModel.from_pretrained(folder).score(few, ood=False).probabilities
    peer = CrossEncoder(str(folder), device="cpu", max_length=160)
    require_same(own, as_probabilities(peer.predict(list(zip(few.queries, few.items, strict=True)))))
    seconds: dict[str, list[float]] = {"darl": [], "CrossEncoderTrainer": []}
    losses: dict[str, list[float]] = {name: [] for name in seconds}
    for repeat in range(args.repeats):
        for name in list(seconds) if repeat % 2 == 0 else list(seconds)[::-1]:
            way = ours if name == "darl" else theirs
            took, loss = way(folder, pairs, recipe, args.device, scratch / f"{prompt}-{name}-{repeat}")
            seconds[name].append(took)
            losses[name].append(loss)
    timed = len(pairs) - args.batch
    model = RelevanceModel.from_pretrained(folder)
    tokens = sum(
        len(pack.tree)
        for start in range(0, timed, args.batch)
        for pack in make_packs(model.encode(pairs.take(range(start, start + args.batch))), 2**62, share=True)
    )  # of batches in the file's order: drawn ones have about as many
    share = limit_share(model, tokens, float(np.median(seconds["darl"])), passes=3) if args.device == "cpu" else None
    return [
        {
            "prompt": prompt, "way": name, "pairs": timed, "pairs_per_second": timed / float(np.median(taken)),
            "seconds": np.round(taken, 2).tolist(), "mean_loss": np.round(losses[name], 4).tolist(),
        } | ({"distinct_tokens": tokens, "limit_share": share} if name == "darl" else {})
        for name, taken in seconds.items()
    ]  # fmt: skip


def ours(folder: Path, pairs: PairTable, recipe: Recipe, device: str, out: Path) -> tuple[float, float]:
    """Seconds from the end of the first step to that of the last, and the mean loss."""
    model = RelevanceModel.from_pretrained(folder, device=device)
    ends: list[float] = []

    def advance(_done: int) -> None:
        ends.append(time.perf_counter())

    encoded = model.encode(queries=pairs.queries, items=pairs.items)
    loss = make_loss("cross_entropy", model.scale.size)
    logged = tune_model(model, encoded, pairs.grades, loss, recipe, out, advance=advance)
    return ends[-1] - ends[0], float(logged["train_loss"])


def theirs(folder: Path, pairs: PairTable, recipe: Recipe, device: str, out: Path) -> tuple[float, float]:
    """The same of the peer."""
    ends: list[float] = []

    class Stamps(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            ends.append(time.perf_counter())

    on_cpu = device == "cpu"
    model = CrossEncoder(str(folder), device=device, max_length=160)
    data = Dataset.from_dict({"query": pairs.queries, "item": pairs.items, "label": [int(g) for g in pairs.grades]})
    settings = CrossEncoderTrainingArguments(
        output_dir=str(out), num_train_epochs=1, per_device_train_batch_size=recipe.tune.batch_size,
        learning_rate=9e-5, use_cpu=on_cpu, bf16=not on_cpu, save_strategy="no", report_to="none", disable_tqdm=True,
        logging_steps=1,
    )  # fmt: skip
    trainer = CrossEncoderTrainer(
        model=model, args=settings, train_dataset=data, loss=CrossEntropyLoss(model), callbacks=[Stamps()]
    )
    trainer.train()
    return ends[-1] - ends[0], float(np.mean([entry["loss"] for entry in trainer.state.log_history if "loss" in entry]))


def headline(rows: list[dict]) -> dict[str, float]:
    speed = {(row["prompt"], row["way"]): row["pairs_per_second"] for row in rows}
    prompts = dict.fromkeys(prompt for prompt, _ in speed)
    found = {f"ratio_{p}": speed[p, "darl"] / speed[p, "CrossEncoderTrainer"] for p in prompts}
    return {"ratio": found.get("ratio_bare", min(found.values()))} | found


if __name__ == "__main__":
    main()
