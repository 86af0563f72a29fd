"""The naive LLM: the backbone answers with a grade word through its language-model head.

Zero-shot or fine-tuned by the ordinary language-model loss on the answer. Where the words start with
distinct tokens, the probability of each grade is a softmax over the language-model head's rows of those
tokens, which is a K-row linear head: the result is a plain sequence classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed
from transformers.modeling_outputs import CausalLMOutput

from darl.errors import BackboneError, RecipeError
from darl.model import RelevanceModel
from darl.model.backbones import Backbone, is_decoder, load_causal_lm
from darl.model.encoding import EncodedPairs
from darl.model.head import set_head
from darl.model.inference.packed import packed_states
from darl.model.inference.support import why_not_packed
from darl.progress import Advance
from darl.recipe.settings import Recipe
from darl.training.dropout import set_dropout
from darl.training.processes import is_main, world_size
from darl.training.trainer import PACKED, train
from darl.training.tune import freeze, with_learning_rate

IGNORED = -100  # transformers' mark for positions without a label


def answer_tokens(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> list[list[int]]:
    """Token ids of each grade word.

    Raises:
        RecipeError: two words begin with the same token, so one step cannot tell them apart.
    """
    ids = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
    first = [word_ids[0] if word_ids else None for word_ids in ids]  # type: ignore[index]
    if None in first or len(set(first)) < len(words):
        raise RecipeError(
            f"the grade words {words} must begin with distinct tokens, theirs are {first}",
            where="words",
            mend="name other words, one a grade, under `words:` (for example: no, partly, yes)",
        )
    return ids  # type: ignore[return-value]


def check_verbalizer(recipe: Recipe, backbone: Backbone, tokenizer: PreTrainedTokenizerBase) -> None:
    """Whether a recipe can be run as a verbalizer.

    Raises:
        BackboneError: the backbone is no causal language model.
        RecipeError: words that do not fit the grades, or settings that only the other method knows.
    """
    check_grade_words(recipe, backbone, tokenizer)
    if recipe.tune.keep == "best" or recipe.tune.patience:
        raise RecipeError(
            "the verbalizer keeps the last epoch and cannot stop early",
            where="tune.keep",
            mend="take tune.keep=last and no tune.patience, or method=head",
        )
    if recipe.loss.class_weights != "none":
        raise RecipeError(
            "the verbalizer's loss is that of a language model, which weighs no grades",
            where="loss.class_weights",
            mend="take loss.class_weights=none, or method=head",
        )


def check_grade_words(recipe: Recipe, backbone: Backbone, tokenizer: PreTrainedTokenizerBase) -> None:
    """Whether the backbone can say the grades, each with a first token of its own.

    Raises:
        BackboneError: it is no causal language model.
        RecipeError: words that do not fit the grades.
    """
    if not is_decoder(backbone):
        raise BackboneError(
            "the verbalizer needs a causal language model", where=backbone.name, mend="use smollm2-135m, say"
        )
    words = grade_words(recipe)
    if len(words) != len(recipe.grades.names):
        raise RecipeError(
            f"{len(words)} words for {len(recipe.grades.names)} grades", where="words", mend="give one word a grade"
        )
    answer_tokens(tokenizer, words)


def grade_words(recipe: Recipe) -> list[str]:
    """What the verbalizer says for each grade."""
    return recipe.words or list(recipe.grades.names)


def verbalizer_head(language_model: PreTrainedModel, answers: list[list[int]]) -> torch.Tensor:
    """The language-model head's rows for the first token of each answer, (K, d)."""
    rows = language_model.get_output_embeddings().weight  # type: ignore[union-attr]
    return rows[torch.tensor([answer[0] for answer in answers])].detach().clone()


def zero_shot(model: RelevanceModel, words: list[str]) -> RelevanceModel:
    """Give ``model`` the head of the untrained verbalizer, in place.

    Raises:
        BackboneError: the backbone is no causal language model.
    """
    language_model = load_causal_lm(model.backbone)
    set_head(model.network, verbalizer_head(language_model, answer_tokens(model.tokenizer, words)))
    return model


def tune_verbalizer(
    model: RelevanceModel,
    encoded: EncodedPairs,
    grades: np.ndarray,
    recipe: Recipe,
    folder: Path,
    *,
    advance: Advance = lambda done: None,
) -> dict[str, Any]:
    """Fine-tune the language model on prompt + grade word, and give ``model`` its body and head, in place.

    The loss is the usual one: cross-entropy over the whole vocabulary on the answer's tokens and the end
    token, nothing on the prompt.
    """
    words = grade_words(recipe)
    answers = answer_tokens(model.tokenizer, words)
    set_seed(recipe.seed)
    language_model = load_causal_lm(model.backbone)
    language_model.config.use_cache = False
    end = [model.tokenizer.eos_token_id] if model.tokenizer.eos_token_id is not None else []
    rows = []
    for i, grade in enumerate(grades):
        prompt, answer = encoded.fields["input_ids"][i], answers[int(grade)] + end
        rows.append({"input_ids": prompt + answer, "labels": [IGNORED] * len(prompt) + answer})
    pad: int = model.tokenizer.pad_token_id  # type: ignore[assignment]

    # Padded on the right: padding on the left would see nothing, and an attention kernel of a GPU may make NaN of that.
    # The wide language-model head runs from the first answer of the batch on.
    def collate(batch: list[dict[str, Any]]) -> dict[str, Any]:
        longest = max(len(row["input_ids"]) for row in batch)
        kept = longest + 1 - min(row["labels"].count(IGNORED) for row in batch)  # one before the answer says its start

        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor([row[name] + [fill] * (longest - len(row[name])) for row in batch])

        real = torch.tensor([[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in batch])
        return {
            "input_ids": padded("input_ids", pad),
            "attention_mask": real,
            "labels": padded("labels", IGNORED)[:, -kept:],
            "logits_to_keep": kept,
        }

    if recipe.tune.dropout is not None:
        set_dropout(language_model, recipe.tune.dropout)
    network: torch.nn.Module = language_model
    packed = packed_answers(language_model, model)
    if recipe.tune.kind == "lora":
        network = _with_lora(language_model, recipe)
    freeze(language_model, embeddings=recipe.tune.freeze_embeddings, layers=recipe.tune.freeze_layers)
    logged = train(
        network,
        rows,
        (lambda batch: {PACKED: batch}) if packed else collate,
        lambda outputs, _aside: outputs.loss,
        with_learning_rate(recipe.tune, language_model),
        folder / "checkpoints",
        seed=recipe.seed,
        is_head=lambda name: False,
        advance=advance,
        packed=packed,
    )
    if recipe.tune.kind == "lora":
        if is_main():
            network.save_pretrained(folder / "adapter")  # type: ignore[operator]
        language_model = network.merge_and_unload()  # type: ignore[operator]
    body = getattr(language_model, language_model.base_model_prefix)
    getattr(model.network, model.network.base_model_prefix).load_state_dict(body.state_dict())
    set_head(model.network, verbalizer_head(language_model, answers))
    model.network.eval()
    return logged


def packed_answers(
    language_model: PreTrainedModel, model: RelevanceModel
) -> Callable[[list[dict[str, Any]]], CausalLMOutput] | None:
    """The packed stand-in for ``language_model(**batch)``, with its loss; None where batches have to be padded.

    The prompt's shared tokens run once, and the wide language-model head on the answers alone.
    """
    if world_size() > 1:
        return None
    language_model.eval()
    with torch.no_grad():
        if why_not_packed(language_model, model.encoder, head=False) is not None:
            return None
    head = language_model.get_output_embeddings()

    def forward(batch: list[dict[str, Any]]) -> CausalLMOutput:
        # what the last token would predict is not asked, so it need not be run
        pairs = EncodedPairs({"input_ids": [row["input_ids"][:-1] for row in batch]})
        asked = [[label for label in row["labels"] if label != IGNORED] for row in batch]
        states = packed_states(language_model, pairs, np.array([len(labels) for labels in asked]))
        wanted = torch.tensor([label for labels in asked for label in labels], device=states.device)
        return CausalLMOutput(loss=cross_entropy(head(states).float(), wanted))  # type: ignore[operator, arg-type]

    return forward


def _with_lora(language_model: PreTrainedModel, recipe: Recipe) -> torch.nn.Module:
    from peft import LoraConfig, TaskType, get_peft_model

    settings = recipe.tune.lora
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets,
    )
    return get_peft_model(language_model, config)
