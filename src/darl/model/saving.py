"""Saving and loading: a plain Hugging Face folder, with darl's own facts in two small files beside it.

config.json, model.safetensors, tokenizer.json …   what transformers reads
darl.json                                          scale, rule, temperature, shifts, base, provenance
ood.safetensors, ood.json                          the OOD reference
base/                                              the frozen base, where the backbone was a local folder
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from darl.decisions import DecisionRule
from darl.errors import DarlError, ModelError
from darl.grades import GradeScale
from darl.model.backbones import Backbone, load_body
from darl.model.embedded import EMBEDDED
from darl.model.relevance_model import RelevanceModel
from darl.ood import OODReference
from darl.storage import atomic_folder, atomic_write_json, read_json, storage_errors

FORMAT = 1
FACTS = "darl.json"
BASE_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")
NOT_OF_THE_BASE = {FACTS, "ood.json", "ood.safetensors"}  # where the backbone is itself a saved darl model
NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")


def save_model(model: RelevanceModel, folder: Path) -> Path:
    """Write the folder whole or not at all; a darl model that stands there is replaced.

    The new folder is written beside the old one, which stays until the new one is whole.

    Raises:
        ModelError: the folder holds something other than a darl model; provenance that is not JSON.
        StorageError: no room, or no right to write.
    """
    final = Path(os.path.realpath(folder))
    _check_replaceable(final, folder)
    with storage_errors(folder), _disk_errors(), replaced_model(final) as partial:
        _write(model, partial)
    return folder


@contextmanager
def replaced_model(final: Path) -> Iterator[Path]:
    """Yields an empty folder that takes the place of ``final`` once it is whole.

    At every moment :func:`load_model` finds the old model or the new one, also where the process is killed.

    Raises:
        StorageError: no room, or no right to write.
    """
    new, old = _beside(final)
    _remove(new)  # of a process that was killed
    if not final.exists():  # killed in mid-swap it left the old model, which stays until this one is whole
        with atomic_folder(final) as partial:
            yield partial
    else:
        _remove(old)
        with atomic_folder(new) as partial:
            yield partial
        _swap(new, final, old)
    clear_beside(final)


def clear_beside(final: Path) -> None:
    """Remove what a killed process left beside a model that is whole."""
    new, old = _beside(final)
    for folder in (new, new.with_name(new.name + ".partial"), old):
        _remove(folder)


def load_model(folder: Path, *, trust_remote_code: bool = False) -> RelevanceModel:
    """Read a folder that :func:`save_model` wrote.

    Raises:
        ModelError: missing, incomplete, corrupt, or saved by a newer darl.
    """
    folder = _standing(folder)
    facts = _read_facts(folder)
    try:
        return _assemble(folder, facts, trust_remote_code)
    except Exception as error:
        raise _unreadable(folder, error) from error


def model_folder(path: str | Path) -> Path:
    """The model folder that a path means: itself, or the ``model`` folder of a run."""
    folder = Path(path).expanduser()
    inside = _standing(folder / "model")
    return inside if not (folder / FACTS).is_file() and (inside / FACTS).is_file() else folder


def _write(model: RelevanceModel, partial: Path) -> None:
    backbone = model.backbone
    needs_base = model.ood is not None and model.ood.feature_spec.get("source", "base") == "base"
    local = backbone.is_local and backbone.name not in EMBEDDED
    bundled = needs_base and local
    facts = {
        "format": FORMAT,
        "scale": model.scale.to_dict(),
        "rule": model.rule.to_dict(),
        "temperature": model.temperature,
        "shifts": list(model.shifts),
        "constant": model.constant if model.shifts else None,
        "max_length": model.max_length,
        "backbone": {
            "name": "base" if bundled else backbone.source if local else backbone.name,
            "revision": backbone.revision,
            "trust_remote_code": backbone.trust_remote_code,
            "bundled": bundled,
        },
        "has_ood": model.ood is not None,
        "provenance": model.provenance,
    }
    try:
        json.dumps(facts)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"the provenance is not JSON: {error}", mend="keep plain numbers, texts and lists in it"
        ) from error
    model.network.save_pretrained(partial)
    model.tokenizer.save_pretrained(partial)
    plain_tokenizer_class(partial, list(model.tokenizer.model_input_names))
    if bundled:
        _copy_base(backbone, partial / "base")
    if model.ood is not None:
        model.ood.save(partial / "ood")
    atomic_write_json(partial / FACTS, facts)
    rights = (partial / FACTS).stat().st_mode  # safetensors writes files that only their owner may read
    for file in partial.rglob("*.safetensors"):
        file.chmod(rights)


def _check_replaceable(final: Path, named: Path) -> None:
    if not final.exists() or (final.is_dir() and ((final / FACTS).is_file() or not any(final.iterdir()))):
        return
    raise ModelError(
        "something other than a darl model stands there, and is not overwritten",
        where=named,
        mend="choose another folder, or move it away",
    )


def _beside(final: Path) -> tuple[Path, Path]:
    """Where the new folder is written, and where the old one waits until the swap is over."""
    return final.with_name(f".{final.name}.darl-new"), final.with_name(f".{final.name}.darl-old")


def _standing(folder: Path) -> Path:
    """The folder, or the old model where a process that was killed in mid-swap left no other."""
    if folder.exists():
        return folder
    old = _beside(Path(os.path.realpath(folder)))[1]
    return old if old.is_dir() else folder


def _swap(new: Path, final: Path, old: Path) -> None:
    os.rename(final, old)
    try:
        os.rename(new, final)
    except BaseException:
        os.rename(old, final)
        raise


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """safetensors reports a full disk as an error of its own: make it the OSError that it was."""
    try:
        yield
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code[1]) if code else 0, str(error)) from error


def _read_facts(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ModelError("there is no such model folder", where=folder, mend="name the folder `model` of a run")
    if not (folder / FACTS).is_file():
        mend = "name the folder `model` inside the run" if (folder / "model").is_dir() else "fit one with `darl fit`"
        raise ModelError("the folder has no darl.json, so it is no darl model", where=folder, mend=mend)
    try:
        facts = read_json(folder / FACTS)
    except DarlError as error:
        raise _unreadable(folder, error) from error
    found = facts.get("format") if isinstance(facts, dict) else None
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        raise ModelError(
            f"darl.json is of format {found}, this darl reads {FORMAT}",
            where=folder,
            mend="upgrade darl" if newer else "copy or fit the model again",
        )
    return facts


def _assemble(folder: Path, facts: dict[str, Any], trust_remote_code: bool) -> RelevanceModel:
    # without a tokenizer transformers makes one up for some architectures, and without weights random ones
    absent = [name for name in NEEDED if not (folder / name).is_file()]
    if absent:
        raise ModelError(f"the folder lacks {', '.join(absent)}")
    scale = GradeScale.from_dict(facts["scale"])
    rule = DecisionRule.from_dict(facts["rule"])
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    network, info = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True, trust_remote_code=trust_remote_code
    )
    if info["missing_keys"]:
        raise ModelError(f"the weights lack {', '.join(sorted(info['missing_keys'])[:3])}")
    network.eval()
    return RelevanceModel(
        network,
        tokenizer,
        scale,
        backbone=_backbone(facts["backbone"], folder, trust_remote_code),
        max_length=facts["max_length"],
        rule=rule,
        temperature=facts["temperature"],
        shifts=tuple(facts.get("shifts", ())),
        constant=facts.get("constant"),
        ood=OODReference.load(folder / "ood") if facts["has_ood"] else None,
        provenance=facts["provenance"],
    )


def _backbone(facts: dict, folder: Path, trust_remote_code: bool) -> Backbone:
    if facts["bundled"]:
        return Backbone(str(folder / "base"), str(folder.absolute() / "base"), None, trust_remote_code)
    # an embedded or hub name is looked up only when the frozen base is needed: scoring without OOD must
    # work where the hub is far
    return Backbone(facts["name"], facts["name"], facts["revision"], trust_remote_code)


def _copy_base(backbone: Backbone, target: Path) -> None:
    source = Path(backbone.source)
    target.mkdir()
    if not any(source.glob("*.safetensors")):  # pickled weights do not travel
        load_body(backbone).save_pretrained(target)
        return
    for pattern in (*BASE_FILES, *(("*.py",) if backbone.trust_remote_code else ())):
        for file in source.glob(pattern):
            if file.name not in NOT_OF_THE_BASE:
                shutil.copyfile(file, target / file.name)


def plain_tokenizer_class(folder: Path, inputs: list[str]) -> None:
    """Name the generic fast class, with the inputs it makes: model-specific classes rebuild the post-processor
    and lose the template."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["model_input_names"] = inputs
    for key in ("add_bos_token", "add_eos_token"):
        config.pop(key, None)
    atomic_write_json(path, config)


def _unreadable(folder: Path, error: Exception) -> ModelError:
    if isinstance(error, DarlError):
        return ModelError(
            f"the model cannot be read: {error.what}" + (f" ({error.where})" if error.where else ""),
            where=folder,
            mend=error.mend or "copy or fit it again",
        )
    if "trust_remote_code" in str(error):
        return ModelError(
            "the model brings its own code, which darl does not run unasked",
            where=folder,
            mend="read that code, then load it with trust_remote_code=True",
        )
    detail = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ModelError(f"the model cannot be read ({detail})", where=folder, mend="copy or fit it again")
