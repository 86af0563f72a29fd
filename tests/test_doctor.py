"""doctor: every check says ok, warn or fail with a mend, and none can stop the others."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from darl import doctor
from darl.cli.main import app


def by_name(checks: list[doctor.Check]) -> dict[str, doctor.Check]:
    return {check.name: check for check in checks}


def test_this_machine_is_fit_for_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARL_CACHE", str(tmp_path / "not" / "made"))
    checks = doctor.examine()
    found = by_name(checks)
    assert not [check for check in checks if check.status == "fail"]
    assert "torch" in found["packages"].detail
    assert {"python", "processors", "memory", "bfloat16", "GPU", "current folder", "cache", "hub offline"} <= set(found)
    assert "HF_HUB_OFFLINE is set" in found["hub offline"].detail
    assert found["backbones"].mend is not None
    assert "could not be checked" not in doctor.findings_text(checks)
    assert not (tmp_path / "not").exists()


def test_a_missing_and_a_broken_package_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", {"numpy": "numpy", "no-such-package": "x", "rich": "rich"})
    real = importlib.import_module

    def broken(name: str) -> object:
        if name == "rich":
            raise OSError("a library is missing")
        return real(name)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    found = by_name(doctor.packages())
    assert found["no-such-package"].status == found["rich"].status == "fail"
    assert found["no-such-package"].mend == "pip install no-such-package"
    assert "a library is missing" in found["rich"].detail


def test_an_old_package_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from packaging.specifiers import SpecifierSet

    monkeypatch.setattr(doctor, "_wanted_versions", lambda: {"numpy": SpecifierSet(">=999")})
    found = by_name(doctor.packages())
    assert found["numpy"].status == "fail"
    assert found["numpy"].mend == "pip install 'numpy>=999'"


def test_a_check_that_faints_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def memory() -> doctor.Check:
        raise ValueError("no such file")

    monkeypatch.setattr(doctor, "memory", memory)
    found = by_name(doctor.examine())
    assert found["memory"].status == "warn"
    assert "cache" in found


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._room("cache", tmp_path / "a" / "b", "mend", needed=True).status in ("ok", "warn")
    file = tmp_path / "file"
    file.touch()
    blocked = doctor._room("cache", file / "below", "mend", needed=True)
    assert (blocked.status, blocked.mend) == ("fail", "mend")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    assert doctor._room("cache", tmp_path, "mend", needed=True).status == "fail"
    assert doctor._room("here", tmp_path, "mend", needed=False).status == "warn"


def test_the_command_says_it_in_words_and_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = doctor.Check("torch", "fail", "is not installed", "pip install torch")
    monkeypatch.setattr(doctor, "examine", lambda network=False: [wrong])
    result = CliRunner().invoke(app, ["doctor", "--output", "json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"ok": False, "checks": [wrong.to_dict()]}
    assert "mend: pip install torch" in CliRunner().invoke(app, ["doctor"]).stdout
    monkeypatch.setattr(doctor, "examine", lambda network=False: [doctor.Check("torch", "ok", "fine")])
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0
