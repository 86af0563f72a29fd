"""Loading: whatever is wrong with a folder is said in one named error that names the folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import make_model, make_reference

from darl.errors import ModelError
from darl.model import RelevanceModel


@pytest.fixture(scope="module")
def whole(tiny_encoder: Path, tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole model of each kind; tests break copies of it."""
    made = {}
    for kind, backbone in (("encoder", tiny_encoder), ("decoder", tiny_decoder)):
        model = make_model(backbone)
        model.ood = make_reference(model, "model")
        made[kind] = model.save_pretrained(tmp_path_factory.mktemp("whole") / kind)
    return made


@pytest.fixture
def folder(kind: str, whole: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(whole[kind], tmp_path / "model")


def failure_of(folder: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        RelevanceModel.from_pretrained(folder)
    return caught.value


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    facts = json.loads((folder / "darl.json").read_text())
    change(facts)
    (folder / "darl.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    "name", ["config.json", "darl.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "ood.json"]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    error = failure_of(folder)
    assert str(folder) in str(error)
    assert name in str(error)


@pytest.mark.parametrize("name", ["model.safetensors", "ood.safetensors"])
@pytest.mark.parametrize("kept", [0, 5, 2000])
def test_truncated_weights_name_the_folder(folder: Path, name: str, kept: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:kept])
    assert str(folder) in str(failure_of(folder))


@pytest.mark.parametrize("name", ["config.json", "darl.json", "tokenizer.json", "tokenizer_config.json", "ood.json"])
@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00", b"[]", b"null", b"7"])
def test_corrupt_json_names_the_folder(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert str(folder) in str(failure_of(folder))


@pytest.mark.parametrize(
    "key", ["format", "scale", "rule", "temperature", "max_length", "backbone", "has_ood", "provenance"]
)
def test_a_missing_fact_names_the_folder(folder: Path, key: str) -> None:
    edit(folder, lambda facts: facts.pop(key))
    assert str(folder) in str(failure_of(folder))


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": {"names": ["bad", "good"]}},
        {"scale": {"names": ["bad"]}},
        {"rule": {"kind": "dice"}},
        {"max_length": "many"},
        {"max_length": 2},
        {"backbone": []},
    ],
)
def test_a_wrong_fact_names_the_folder(folder: Path, wrong: dict) -> None:
    edit(folder, lambda facts: facts.update(wrong))
    assert str(folder) in str(failure_of(folder))


def test_a_newer_format_asks_for_an_upgrade(folder: Path) -> None:
    edit(folder, lambda facts: facts.update(format=99))
    error = failure_of(folder)
    assert str(folder) in str(error)
    assert "upgrade darl" in str(error)


def test_weights_without_a_head_are_not_filled_with_random_ones(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in state.items() if not name.startswith(("score", "classifier"))}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert "the weights lack" in str(failure_of(folder))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in str(failure_of(tmp_path / "nowhere"))


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a file")
    assert str(tmp_path / "model") in str(failure_of(tmp_path / "model"))


def test_a_run_folder_points_to_its_model(folder: Path) -> None:
    assert "`model` inside the run" in str(failure_of(folder.parent))


def test_a_plain_hugging_face_folder_is_no_darl_model(tiny_encoder: Path) -> None:
    assert "no darl model" in str(failure_of(tiny_encoder))


def test_code_in_the_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    (folder / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "theirs.Config", "AutoModelForSequenceClassification": "theirs.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "theirs", "auto_map": names}))
    assert "trust_remote_code=True" in str(failure_of(folder))
    assert not (tmp_path / "ran").exists()


def test_half_precision_that_the_processor_only_emulates_is_cast_up(model, tmp_path, monkeypatch) -> None:
    model.network.bfloat16()
    folder = model.save_pretrained(tmp_path / "half")
    for native, expected in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr("darl.model.precision.native_bfloat16", lambda native=native: native)
        loaded = RelevanceModel.from_pretrained(folder)
        assert loaded.network.dtype == expected
        assert all(torch.equal(a, b.to(a.dtype)) for a, b in zip(
            loaded.network.state_dict().values(), model.network.state_dict().values(), strict=True))  # fmt: skip


def test_a_model_computes_in_the_numbers_that_are_asked_for(model, tmp_path, monkeypatch) -> None:
    folder = model.save_pretrained(tmp_path / "model")
    monkeypatch.setattr("darl.model.precision.native_bfloat16", lambda: True)
    asked = {None: torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float32}
    for dtype, expected in asked.items():  # no processor computes float16 at speed
        assert RelevanceModel.from_pretrained(folder, dtype=dtype).network.dtype == expected
    with pytest.raises(ModelError, match="'int8' is no number type"):
        RelevanceModel.from_pretrained(folder, dtype="int8")
