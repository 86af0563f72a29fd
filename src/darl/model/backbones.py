"""Where backbones come from: an embedded name, a local folder, or the Hugging Face hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from huggingface_hub.utils import get_session
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from darl.errors import BackboneError
from darl.model.embedded import EMBEDDED, fetch_embedded
from darl.model.head import settle_pooler

# What transformers calls a table of learnt absolute positions.
POSITION_NAMES = {"position_embeddings", "wpe", "embed_positions"}

# How long the hub may take to say that it is there.
HUB_SECONDS = 5


@dataclass(frozen=True)
class Backbone:
    """A resolved backbone: what to hand to ``from_pretrained``.

    Attributes:
        name: as the user wrote it; kept in the model's provenance.
        source: a local folder or a hub name.
        revision: of a hub repository, or None.
        trust_remote_code: run code that comes with the weights. Off unless the user says so.
    """

    name: str
    source: str
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What every ``from_pretrained`` gets. Where the hub cannot be reached only its local cache is asked:
        huggingface_hub would try again for most of a minute."""
        options = {"revision": self.revision or "main", "trust_remote_code": self.trust_remote_code}
        if not self.is_local and not _hub_answers():
            options["local_files_only"] = True
        return options

    @property
    def is_local(self) -> bool:
        """Whether ``source`` is a folder; an embedded name never is, even beside a folder of that name."""
        return self.source not in EMBEDDED and Path(self.source).is_dir()


def resolve_backbone(name: str, *, revision: str | None = None, trust_remote_code: bool = False) -> Backbone:
    """Find a backbone by name: embedded names first, then folders, then the hub.

    Raises:
        BackboneError: a path that is no model folder, or an embedded backbone that cannot be fetched.
    """
    if name in EMBEDDED:
        return Backbone(name, str(fetch_embedded(name)))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError("the folder holds no config.json, so it is no model", where=name)
        return Backbone(name, str(path.absolute()), None, trust_remote_code)
    if path.is_file():
        raise BackboneError("this is a file, a backbone is a folder", where=name, mend="name the folder that holds it")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise BackboneError(
            "there is no such folder", where=name, mend=f"or use an embedded one: {', '.join(EMBEDDED)}"
        )
    return Backbone(name, name, revision, trust_remote_code)


def load_tokenizer(backbone: Backbone) -> PreTrainedTokenizerBase:
    """The backbone's fast tokenizer, with a pad token.

    Raises:
        BackboneError: none can be loaded, it is empty, it has no fast version (darl keeps the prompt in it),
            or no token that can pad.
    """
    tokenizer = _call(backbone, lambda: AutoTokenizer.from_pretrained(backbone.source, **backbone.options))
    if not tokenizer.is_fast:
        raise BackboneError(
            "the backbone has no fast tokenizer",
            where=backbone.name,
            mend="choose a backbone with a tokenizer.json",
        )
    # where the files are missing transformers makes a tokenizer of special tokens alone
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise BackboneError("the backbone's tokenizer is empty", where=backbone.name, mend="is the folder complete?")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise BackboneError(
            "the tokenizer has no token that can pad",
            where=backbone.name,
            mend="set `pad_token` in tokenizer_config.json",
        )
    tokenizer.padding_side = "right"
    # A pair is no conversation: sentence-transformers would wrap pairs in a saved chat template, and score other texts.
    tokenizer.chat_template = None
    return tokenizer


def is_decoder(backbone: Backbone) -> bool:
    """Whether the backbone is a causal language model (pooled at its last token)."""
    config = _call(backbone, lambda: AutoConfig.from_pretrained(backbone.source, **backbone.options))
    kind = config.model_type
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES or kind in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return False  # BERT and its kin have a causal head too, and their classifiers read the first token
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return True
    return any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in getattr(config, "architectures", None) or [])


def load_backbone(
    backbone: Backbone, grade_names: tuple[str, ...], *, dtype: torch.dtype = torch.float32, seed: int = 0
) -> PreTrainedModel:
    """The backbone with a fresh K-row head, as ``AutoModelForSequenceClassification`` builds it.

    The random parts (head, and a pooler that the checkpoint lacks) depend on ``seed`` alone.

    Raises:
        BackboneError: the weights cannot be loaded, or the architecture has no sequence classifier.
    """
    labels = dict(enumerate(grade_names))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, info = _call(
            backbone,
            lambda: AutoModelForSequenceClassification.from_pretrained(
                backbone.source,
                num_labels=len(grade_names),
                id2label=labels,
                label2id={name: grade for grade, name in labels.items()},
                problem_type="single_label_classification",
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **backbone.options,
            ),
        )
    settle_pooler(model, info["missing_keys"])
    return model


def load_causal_lm(backbone: Backbone, *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The backbone with its language-model head, for the verbalizer.

    Raises:
        BackboneError: the weights cannot be loaded, or the backbone is no causal language model.
    """
    if not is_decoder(backbone):
        raise BackboneError(
            "the verbalizer needs a causal language model", where=backbone.name, mend="use smollm2-135m, say"
        )
    return _call(
        backbone,
        lambda: AutoModelForCausalLM.from_pretrained(backbone.source, dtype=dtype, **backbone.options),
    )


def load_body(backbone: Backbone, *, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The bare backbone without any head, for features of the frozen base."""
    return _call(backbone, lambda: AutoModel.from_pretrained(backbone.source, dtype=dtype, **backbone.options))


def position_room(network: torch.nn.Module) -> int | None:
    """How many tokens the learnt position embeddings reach, or None where positions are computed.

    >>> net = torch.nn.Module(); net.position_embeddings = torch.nn.Embedding(514, 8, padding_idx=1)
    >>> position_room(net)  # RoBERTa counts from the padding index on
    512
    """
    for name, module in network.named_modules():
        if name.rpartition(".")[2] in POSITION_NAMES and isinstance(module, torch.nn.Embedding):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - int(getattr(module, "offset", before))
    return None


def _hub_answers() -> bool:
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception:  # whichever HTTP library huggingface_hub uses, and whatever it raises
        return False
    return True


def _call(backbone: Backbone, load):
    try:
        return load()
    except BackboneError:
        raise
    except Exception as error:
        raise _explain(backbone, error) from error


def _explain(backbone: Backbone, error: Exception) -> BackboneError:
    message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    embedded = ", ".join(EMBEDDED)
    if "trust_remote_code" in str(error):
        return BackboneError(
            "the backbone brings its own code, which darl does not run unasked",
            where=backbone.name,
            mend="read that code, then set `trust_remote_code: true`",
        )
    if not backbone.is_local:
        offline = constants.HF_HUB_OFFLINE
        mend = (
            f"check the name and the network (offline mode is {'on' if offline else 'off'}), give a local folder, "
            f"or use an embedded backbone: {embedded}"
        )
        return BackboneError(f"cannot be loaded from the hub: {message}", where=backbone.name, mend=mend)
    return BackboneError(
        f"cannot be loaded: {message}",
        where=backbone.name,
        mend="is the folder complete, and of a kind transformers knows?",
    )
