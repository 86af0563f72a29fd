"""What a stage's key holds of models that lie in folders: their content, since a folder may be written anew."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from darl.model.backbones import resolve_backbone
from darl.model.embedded import EMBEDDED
from darl.model.saving import FACTS, model_folder
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.storage import read_json, sha256_file, stable_hash


def model_key(path: str | Path) -> str:
    """What tells one saved model from another, its place and the time it was made aside.

    Raises:
        StorageError: there is no such model.
    """
    folder = model_folder(path)
    facts = {name: value for name, value in read_json(folder / FACTS).items() if name != "provenance"}
    return stable_hash({"facts": facts} | {f.name: sha256_file(f) for f in sorted(folder.glob("*.safetensors"))})


def backbone_content(recipe: Recipe, name: str | None = None) -> dict[str, Any]:
    """``{"content": hash}`` of a backbone that is a local folder, ``{}`` of one that is named and pinned elsewhere.

    Args:
        name: of the backbone; default the recipe's own.
    """
    name = recipe.backbone.name if name is None else name
    if name in EMBEDDED or not Path(name).expanduser().is_dir():
        return {}
    folder = Path(resolve_backbone(name, trust_remote_code=recipe.backbone.trust_remote_code).source)
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    files = [*weights, folder / "config.json", *sorted(folder.glob("tokenizer*"))]
    return {"content": stable_hash({file.name: _hash(file) for file in files if file.is_file()})}


def _hash(file: Path) -> str:
    facts = file.stat()
    return _hash_as_it_is(str(file.resolve()), facts.st_ino, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=1024)
def _hash_as_it_is(path: str, *facts: int) -> str:
    """Once a process for a file that stays as it is: an LLM's take half a minute, and every round asks."""
    return sha256_file(path)


def columns_content(tables: list[PairTable], names: list[str]) -> dict[str, Any]:
    """``{"columns": hash}`` of some columns of some tables, ``{}`` where there is none."""
    if not names:
        return {}
    digest = hashlib.sha256()
    for table in tables:
        arrow = table.arrow.select([name for name in names if table.has(name)]).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, arrow.schema.remove_metadata()) as stream:
            stream.write_table(arrow.replace_schema_metadata(None))
        digest.update(sink.getvalue())
    return {"columns": digest.hexdigest()}
