"""sentence-transformers' CrossEncoderTrainer on the same pairs, backbone, steps, batch and rate as darl's baselines.

`cross_entropy` trains K logits. `binomial` trains one logit by binary cross-entropy on the grade scaled to [0, 1],
which is the likelihood of a binomial distribution over the grades up to a constant:

    −y/m · log s − (1 − y/m) · log(1 − s)      with m = K − 1,    p_k = C(m, k) s^k (1 − s)^(m − k)

So the probabilities of the grades are the model's own, and its grade is cut from the expected one, m·s, by thresholds
fitted on dev.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy.stats import binom
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss, CrossEntropyLoss
from transformers import PrinterCallback, set_seed

from darl.decisions import DecisionRule
from darl.decisions.agreement import OBJECTIVES
from darl.decisions.thresholds import fit_thresholds
from darl.model.backbones import resolve_backbone
from darl.model.relevance_model import softmax
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.starts import fresh_model
from darl.training.trainer import precision_arguments, total_steps
from darl.training.tune import with_learning_rate


def train(
    recipe: Recipe, train: PairTable, dev: PairTable, tables: dict[str, PairTable], folder: Path, *, loss: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{name: (probabilities, predicted grades)} of each table."""
    size = recipe.grades.scale().size
    one_logit = loss == "binomial"
    set_seed(recipe.seed)
    model = make_model(recipe, 1 if one_logit else size)
    labels = train.grades / (size - 1) if one_logit else train.grades
    data = Dataset.from_dict({"query": train.queries, "item": train.items, "label": labels.tolist()})
    network: Any = model[0].model  # the transformers network inside
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments(recipe, network, len(train), folder),
        train_dataset=data,
        loss=BinaryCrossEntropyLoss(model) if one_logit else CrossEntropyLoss(model),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    def probabilities(table: PairTable) -> np.ndarray:
        pairs = list(zip(table.queries, table.items, strict=True))
        logits = model.predict(pairs, batch_size=64, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return binomial_probabilities(np.asarray(logits), size) if one_logit else softmax(np.asarray(logits))

    rule = DecisionRule()
    if one_logit:
        rule = fit_thresholds(probabilities(dev), dev.grades, OBJECTIVES[recipe.objective]) or rule
    found = {}
    for name, table in tables.items():
        chances = probabilities(table)
        found[name] = chances, rule.decide(chances)
    return found


def make_model(recipe: Recipe, outputs: int) -> CrossEncoder:
    """The recipe's backbone with a fresh head as sentence-transformers loads it, reading pairs as darl's baselines do.

    Left to itself the library takes a causal language model for a reranker that answers "yes" or "no"; here it gets the
    class with a head, and darl's prompt, which lies in the tokenizer.
    """
    encoded = fresh_model(recipe).tokenizer
    settings = recipe.backbone
    backbone = resolve_backbone(settings.name, revision=settings.revision)
    transformer = Transformer(
        backbone.source,
        transformer_task="sequence-classification",
        model_kwargs={"dtype": torch.float32},
        config_kwargs={"num_labels": outputs, "pad_token_id": encoded.pad_token_id},
        max_seq_length=settings.max_length,
        modality_config={"text": {"method": "forward", "method_output_name": "logits"}},  # no chat template
        module_output_name="scores",
    )
    encoded.model_max_length = settings.max_length
    transformer.processor = encoded
    return CrossEncoder(modules=[transformer])


def arguments(recipe: Recipe, network: Any, rows: int, folder: Path) -> CrossEncoderTrainingArguments:
    """darl's settings in the words of the peer: the same steps, batch, rate, warm-up and decay."""
    settings = with_learning_rate(recipe.tune, network, start="random")
    assert settings.learning_rate is not None
    precision: dict[str, Any] = dict(precision_arguments(settings.precision))
    return CrossEncoderTrainingArguments(
        output_dir=str(folder / "trainer"),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate,
        warmup_steps=int(settings.warmup * total_steps(rows, settings)),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        lr_scheduler_type="linear",
        seed=recipe.seed,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        **precision,
    )


def binomial_probabilities(logits: np.ndarray, size: int) -> np.ndarray:
    """One logit a pair, (n,) or (n, 1), to probabilities of the grades, (n, K).

    >>> binomial_probabilities(np.array([0.0]), 3).tolist()
    [[0.25, 0.5, 0.25]]
    """
    share = 1 / (1 + np.exp(-logits.reshape(-1, 1).astype(np.float64)))
    found = binom.pmf(np.arange(size), size - 1, share)
    return found / found.sum(axis=1, keepdims=True)
