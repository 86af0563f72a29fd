"""Stage 0, matching: the backbone learns as a reader of pairs what it knows as an embedder of texts.

    min over θ of   mean_i (c · z_θ(q_i, d_i) − y_i)²,   y = standardised cos(e(q), e(d))

with e the frozen backbone's embedding of a text, z_θ the K logits of a pair, and c rising with the grade: a pair whose
texts are close gets higher grades. The pairs are texts of train and of the unlabelled pool; no label is read.

A sentence encoder places a query near what answers it, on traffic of all kinds; as a classifier of pairs it starts from
features that say little of that, and a few thousand labels teach it a poorer notion, worst under shift (experiment 46).
After this stage the frozen features do tell grades apart, which is what probing first and interpolating ask for (Kumar
et al. 2022). A bi-encoder as the teacher of a cross-encoder without labels: Liu et al. 2022, *Trans-Encoder*.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel, set_seed

from darl.errors import RecipeError
from darl.model import RelevanceModel
from darl.model.backbones import is_decoder, load_body, load_tokenizer, position_room, resolve_backbone
from darl.model.embedding import embed
from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.head import is_head_parameter
from darl.pairs import PairTable
from darl.pairs.leaks import find_leaks
from darl.progress import Reporter
from darl.recipe.settings import Recipe, TuneSettings
from darl.storage import atomic_write_json, link_or_copy, read_json
from darl.training.content_keys import backbone_content
from darl.training.dropout import set_dropout
from darl.training.match_pairs import make_match_pairs
from darl.training.match_worth import agreement, knows_as_pair
from darl.training.packing import packed_forward
from darl.training.processes import device, is_main
from darl.training.round_picks import read_pool
from darl.training.run import Run, Stage
from darl.training.splits import Splits
from darl.training.starts import WEIGHTS, fresh_model, state_of
from darl.training.trainer import make_collate, total_steps, train
from darl.training.tune import freeze, with_learning_rate

MATCH = "match"
LEAST = 0.1  # rank correlation of cosine and grade below which nothing is learnt from it
JUDGED_ON = 1000  # graded training pairs that say whether the cosine tells grades
PER_SEEN = 4  # at most so many pairs are made for each that was seen: few texts have little more to say
FEWEST = 20  # pairs below which nothing is learnt: some are held out
HELD_OUT = 0.05  # of the pairs: to tell what was learnt


def match_stage(
    recipe: Recipe, splits: Splits, run: Run, reporter: Reporter, *, before: tuple[Stage, ...] = ()
) -> Stage | None:
    """The matched backbone's weights in the stage's folder; None where the recipe or its backbone rules it out.

    With ``auto`` the stage may find that it is not worth it: its result then says ``used: false``, and why.

    Raises:
        RecipeError: ``reuse`` names no run with such a stage, or one on another backbone.
        BackboneError: the teacher cannot be had.
    """
    settings = recipe.match
    if settings.enabled is False:
        return None
    if settings.enabled == "auto" and settings.teacher is None and _is_decoder(recipe):
        return None
    taken = None if settings.reuse is None else _reused(settings.reuse)
    if settings.reuse is not None and taken is None:
        return None
    texts = unlabelled(recipe, splits) if taken is None else None
    inputs: dict[str, Any] = {
        "match": settings.model_dump(mode="json", exclude={"reuse"}),
        "tune": recipe.tune.model_dump(
            mode="json",
            include={
                *("freeze_embeddings", "dropout", "batch_size", "accumulate", "warmup", "precision", "trainer"),
                *("weight_decay", "max_grad_norm"),
            },
        ),
        **recipe.model_dump(mode="json", include={"seed", "grades", "backbone"}),
        "from": None if taken is None else taken["key"],
        "texts": None if texts is None else texts.fingerprint(),
        "train": None if texts is None else splits.train.fingerprint(),
        **backbone_content(recipe),
    }
    if settings.teacher is not None:
        inputs["teacher"] = backbone_content(recipe, settings.teacher)
    stage = run.stage(
        MATCH,
        inputs,
        lambda folder: (
            _take(recipe, folder) if texts is None else _match(recipe, splits.train, texts, folder, reporter)
        ),
        after=before,
        collective=True,
    )
    reporter.say(f"match: {stage.result['why']}{' (done before)' if stage.reused else ''}")
    return stage


def unlabelled(recipe: Recipe, splits: Splits) -> PairTable:
    """Texts seen together, of train and of the pool where the recipe names one; none of a query that judges."""
    most = recipe.match.pairs
    seen = [table.sample(most, recipe.seed) for table in (splits.train, splits.ungraded) if table is not None]
    if recipe.data.pool is not None:
        pool = read_pool(recipe).pairs.sample(most, recipe.seed)
        judging = {name: table for name, table in splits.tables().items() if name != "train"}
        seen.append(pool.where(~find_leaks(pool, judging).train_mask))
    queries, items = ([text for table in seen for text in getattr(table, of)] for of in ("queries", "items"))
    return PairTable.from_pairs(queries, items).sample(most // 2, recipe.seed)


def _match(recipe: Recipe, graded: PairTable, texts: PairTable, folder: Path, reporter: Reporter) -> dict[str, Any]:
    done, settings = folder / "logged.json", recipe.match
    if done.is_file():  # killed between the last step and the end of the stage
        if is_main():
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return read_json(done)
    model = fresh_model(recipe)
    body, encoder = _embedder(recipe, model)
    judged = graded.sample(JUDGED_ON, recipe.seed)
    convention, rho = agreement(body, encoder, judged)
    result: dict[str, Any] = {"agreement": rho, "embedding": convention.told(), "used": True}
    if settings.enabled == "auto":
        result["as_pair"] = known = knows_as_pair(model, judged)
        if rho < max(LEAST, known):
            why = (
                f"left out: on train the embeddings' cosine has a rank correlation of {rho:.2f} with the grade, a "
                f"probe on the frozen backbone's features of pairs {known:.2f}"
            )
            return result | {"used": False, "why": why}
    (queries, asked), (items, given) = (_numbered(of) for of in (texts.queries, texts.items))
    with reporter.bar("match: embed texts", len(queries) + len(items)) as advance:
        q, d = (
            embed(body, encoder, [before + text for text in some], convention.pooling, progress=advance)
            for before, some in ((convention.query, queries), (convention.item, items))
        )
    count = min(settings.pairs, PER_SEEN * len(texts))
    pairs = make_match_pairs((asked, given), q, d, count, np.random.default_rng(recipe.seed))
    if len(pairs) < FEWEST:
        return result | {"used": False, "why": f"left out: {len(texts):,} pairs of texts are too few to learn from"}
    encoded = model.encode(queries=[queries[i] for i in pairs.query], items=[items[i] for i in pairs.item])
    result |= {"pairs": len(pairs)} | _learn(recipe, model, encoded, pairs.targets(), folder, reporter)
    if settings.enabled == "auto" and result["correlation"] < LEAST:
        if is_main():
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        why = f"left out: nothing was learnt, the correlation on held-out pairs is {result['correlation']:.2f}"
        return result | {"used": False, "why": why}
    result["why"] = (
        f"{len(pairs):,} pairs without labels taught {recipe.backbone.name} to see as a pair how close "
        f"{settings.teacher or 'it'} puts two texts: correlation {result['correlation']:.2f} on held-out pairs, "
        f"{rho:.2f} with the grades of train"
    )
    if is_main():
        save_file(state_of(model), folder / WEIGHTS)
        atomic_write_json(done, result)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return result


def _learn(
    recipe: Recipe, model: RelevanceModel, encoded: EncodedPairs, targets: np.ndarray, folder: Path, reporter: Reporter
) -> dict[str, Any]:
    """Train ``model`` on the targets, in place; what was logged, and the correlation on pairs held out."""
    settings = _tuning(recipe, model)
    order = np.random.default_rng(recipe.seed).permutation(len(encoded))
    held = order[: max(2, int(len(order) * HELD_OUT))]
    rows = [encoded.row(i) | {"targets": targets[i]} for i in order[len(held) :]]
    K = model.scale.size
    rising = torch.arange(K, dtype=torch.float32) - (K - 1) / 2
    rising /= rising.norm()

    def loss_of(outputs: Any, aside: dict[str, torch.Tensor]) -> torch.Tensor:
        said = outputs.logits.float() @ rising.to(outputs.logits.device)
        return torch.nn.functional.mse_loss(said, aside["targets"].to(said))

    set_seed(recipe.seed)
    if settings.dropout is not None:
        set_dropout(model.network, settings.dropout)
    freeze(model.network, embeddings=settings.freeze_embeddings, layers=0)
    packed = packed_forward(model)
    try:
        with reporter.bar("match", total_steps(len(rows), settings), "steps") as advance:
            logged = train(
                model.network,
                rows,
                make_collate(model, packed),
                loss_of,
                settings,
                folder / "checkpoints",
                seed=recipe.seed,
                is_head=lambda name: is_head_parameter(name.removeprefix("module."), model.network),
                advance=advance,
                packed=packed,
                name="matching",
                rate="match.learning_rate",
            )
    finally:
        for parameter in model.network.parameters():
            parameter.requires_grad_(True)
    model.network.eval()
    said = model.logits(encoded.take(held)) @ rising.numpy()
    alike = float(np.corrcoef(said, targets[held])[0, 1]) if said.std() > 0 and targets[held].std() > 0 else 0.0
    return {"correlation": alike, "steps": logged["steps"], "train_loss": logged["train_loss"]}


def _tuning(recipe: Recipe, model: RelevanceModel) -> TuneSettings:
    """One pass in full, otherwise as the recipe tunes; the rate is that of a probed head, since least squares from a
    random one does not stall as a classifier does (tried on MiniLM-L6 and me5-small)."""
    changes: dict[str, Any] = {"epochs": recipe.match.epochs, "learning_rate": recipe.match.learning_rate}
    changes |= {"kind": "full", "freeze_layers": 0, "head_learning_rate": None}
    changes |= {"keep": "last", "patience": None, "report_to": []}
    return with_learning_rate(recipe.tune.model_copy(update=changes), model.network, start="probe")


def _embedder(recipe: Recipe, model: RelevanceModel) -> tuple[PreTrainedModel, PairEncoder]:
    """The bare backbone that embeds texts, and what tokenises them for it."""
    if recipe.match.teacher is None:
        return getattr(model.network, model.network.base_model_prefix), model.encoder
    backbone = resolve_backbone(recipe.match.teacher, trust_remote_code=recipe.backbone.trust_remote_code)
    body = load_body(backbone).to(device()).eval()  # type: ignore[arg-type]
    room = position_room(body) or recipe.backbone.max_length
    return body, PairEncoder(load_tokenizer(backbone), min(room, recipe.backbone.max_length))


def _is_decoder(recipe: Recipe) -> bool:
    settings = recipe.backbone
    return is_decoder(
        resolve_backbone(settings.name, revision=settings.revision, trust_remote_code=settings.trust_remote_code)
    )


def _numbered(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct texts, and the number of each."""
    place: dict[str, int] = {}
    numbers = np.array([place.setdefault(text, len(place)) for text in texts], dtype=np.int64)
    return list(place), numbers


def _reused(folder: str) -> dict[str, Any] | None:
    """What the matching stage of a run wrote; None where that run had none.

    Raises:
        RecipeError: no run.
    """
    stages = Path(folder) / "stages"
    if not stages.is_dir():
        raise RecipeError(
            f"there is no run in {folder}", where="match.reuse", mend="name a run's folder, or leave it out"
        )
    path = stages / MATCH / "stage.json"
    return read_json(path) if path.is_file() else None


def _take(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The stage of the run that the recipe names."""
    source = Path(str(recipe.match.reuse)) / "stages" / MATCH
    result = read_json(source / "stage.json")["result"]
    if result["used"] and is_main():
        (folder / WEIGHTS).unlink(missing_ok=True)  # of a process killed before it said so
        link_or_copy(str(source / WEIGHTS), str(folder / WEIGHTS))
    return result
