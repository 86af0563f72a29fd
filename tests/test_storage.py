import errno
import json

import pytest

from darl.errors import StorageError
from darl.storage import (
    atomic_file,
    atomic_folder,
    atomic_write_json,
    atomic_write_text,
    read_json,
    sha256_file,
    stable_hash,
    storage_errors,
)


def test_text_round_trips_and_makes_its_folder(tmp_path):
    path = tmp_path / "a" / "b.txt"
    atomic_write_text(path, "grün\r\n")
    assert path.read_bytes() == "grün\r\n".encode()
    assert [file.name for file in path.parent.iterdir()] == ["b.txt"]


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_file(path) as scratch:
            scratch.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_round_trips(tmp_path):
    obj = {"b": [1, 2.5, None], "a": "ü"}
    atomic_write_json(tmp_path / "a.json", obj)
    assert read_json(tmp_path / "a.json") == obj


@pytest.mark.parametrize("content", [b'{"a": 1', b"\xff\xfe", b""])
def test_corrupt_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.json: the file does not hold JSON"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_named(tmp_path):
    with pytest.raises(StorageError, match="no such file") as caught:
        read_json(tmp_path / "a.json")
    assert caught.value.mend


def test_folder_appears_whole(tmp_path):
    final = tmp_path / "run" / "stage"
    with atomic_folder(final) as folder:
        assert folder.name == "stage.partial"
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("1")
        assert not final.exists()
    assert (final / "sub" / "x").read_text() == "1"
    assert not folder.exists()


def test_failed_folder_leaves_nothing(tmp_path):
    final = tmp_path / "stage"

    def fail():
        with atomic_folder(final) as folder:
            (folder / "x").write_text("1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_folder_clears_what_a_killed_process_left(tmp_path):
    (tmp_path / "stage.partial").mkdir()
    (tmp_path / "stage.partial" / "junk").write_text("")
    with atomic_folder(tmp_path / "stage"):
        pass
    assert list((tmp_path / "stage").iterdir()) == []


def test_folder_does_not_replace_a_whole_one(tmp_path):
    (tmp_path / "stage").mkdir()
    with pytest.raises(StorageError, match="exists already"), atomic_folder(tmp_path / "stage"):
        pass


def test_a_file_in_the_path_is_named(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(StorageError, match=r"not a folder|exists already"):
        atomic_write_text(tmp_path / "a" / "b.txt", "")


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.ENOSPC, "no space"), (errno.EACCES, "permission"), (errno.EROFS, "read-only"), (errno.ENOTDIR, "file")],
)
def test_disk_errors_have_a_mend(code, words):
    with pytest.raises(StorageError, match=words) as caught, storage_errors("there"):
        raise OSError(code, "x")
    assert caught.value.where == "there"
    assert caught.value.mend


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # The test vector of FIPS 180-2.
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert stable_hash({"a": [1, "ü"], "b": None}) == stable_hash(json.loads('{"b": null, "a": [1, "ü"]}'))
    assert stable_hash({"a": 1}) != stable_hash({"a": 2})
