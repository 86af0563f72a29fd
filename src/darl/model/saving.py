"""Saving and loading: a plain Hugging Face folder, with darl's own facts in two small files beside it.

config.json, model.safetensors, tokenizer.json …   what transformers reads
darl.json                                          scale, rule, temperature, base, provenance
ood.safetensors, ood.json                          the OOD reference
base/                                              the frozen base, where the backbone was a local folder
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from transformers import AutoModelForSequenceClassification, AutoTokenizer

from darl.decisions import DecisionRule
from darl.errors import DarlError, ModelError
from darl.grades import GradeScale
from darl.model.backbones import Backbone
from darl.model.relevance_model import RelevanceModel
from darl.ood import OODReference
from darl.storage import atomic_folder, atomic_write_json, read_json, storage_errors

FORMAT = 1
BASE_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


def save_model(model: RelevanceModel, folder: Path) -> Path:
    """Write the folder whole or not at all.

    Raises:
        StorageError: no room, or no right to write.
    """
    backbone = model.backbone
    with storage_errors(folder), atomic_folder(folder) as partial:
        model.network.save_pretrained(partial)
        model.tokenizer.save_pretrained(partial)
        _plain_tokenizer_class(partial, list(model.tokenizer.model_input_names))
        needs_base = model.ood is not None and model.ood.feature_spec.get("source") == "base"
        bundled = needs_base and backbone.is_local and backbone.name == backbone.source
        if bundled:
            _copy_base(Path(backbone.source), partial / "base")
        if model.ood is not None:
            model.ood.save(partial / "ood")
        atomic_write_json(
            partial / "darl.json",
            {
                "format": FORMAT,
                "scale": model.scale.to_dict(),
                "rule": model.rule.to_dict(),
                "temperature": model.temperature,
                "max_length": model.max_length,
                "backbone": {
                    "name": "base" if bundled else backbone.name,
                    "revision": backbone.revision,
                    "trust_remote_code": backbone.trust_remote_code,
                    "bundled": bundled,
                },
                "has_ood": model.ood is not None,
                "provenance": model.provenance,
            },
        )
    return folder


def load_model(folder: Path) -> RelevanceModel:
    """Read a folder that :func:`save_model` wrote.

    Raises:
        ModelError: missing, incomplete, corrupt, or saved by a newer darl.
    """
    facts_file = folder / "darl.json"
    if not folder.is_dir():
        raise ModelError("there is no such model folder", where=folder, mend="name the folder `model` of a run")
    if not facts_file.is_file():
        mend = "name the folder `model` inside the run" if (folder / "model").is_dir() else "fit one with `darl fit`"
        raise ModelError("the folder has no darl.json, so it is no darl model", where=folder, mend=mend)
    facts = read_json(facts_file)
    if facts.get("format") != FORMAT:
        raise ModelError(
            f"saved in format {facts.get('format')}, this darl reads {FORMAT}", where=facts_file, mend="upgrade darl"
        )
    try:
        scale = GradeScale.from_dict(facts["scale"])
        rule = DecisionRule.from_dict(facts["rule"])
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network = AutoModelForSequenceClassification.from_pretrained(folder)
        ood = OODReference.load(folder / "ood") if facts["has_ood"] else None
        backbone = _backbone(facts["backbone"], folder)
    except DarlError:
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise ModelError(f"the model cannot be read ({detail})", where=folder, mend="copy or fit it again") from error
    network.eval()
    return RelevanceModel(
        network,
        tokenizer,
        scale,
        backbone=backbone,
        max_length=facts["max_length"],
        rule=rule,
        temperature=facts["temperature"],
        ood=ood,
        provenance=facts["provenance"],
    )


def _backbone(facts: dict, folder: Path) -> Backbone:
    if facts["bundled"]:
        return Backbone(str(folder / "base"), str(folder / "base"))
    # an embedded or hub name is looked up only when the frozen base is needed: scoring without OOD must
    # work where the hub is far
    return Backbone(facts["name"], facts["name"], facts["revision"], facts["trust_remote_code"])


def _copy_base(source: Path, target: Path) -> None:
    target.mkdir()
    for pattern in BASE_FILES:
        for file in source.glob(pattern):
            shutil.copy2(file, target / file.name)


def _plain_tokenizer_class(folder: Path, inputs: list[str]) -> None:
    """Name the generic fast class, with the inputs it makes: model-specific classes rebuild the post-processor
    and lose the template."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["model_input_names"] = inputs
    for key in ("add_bos_token", "add_eos_token"):
        config.pop(key, None)
    atomic_write_json(path, config)
