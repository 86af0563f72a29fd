"""What goes wrong on the command line is said in a few lines, with the right exit code."""

from __future__ import annotations

import errno
import signal
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from darl.cli.failures import DarlGroup, sigterm_stops
from darl.errors import DarlError

RAISED: dict[str, BaseException] = {
    "user": DarlError("the column is missing", where="pairs.csv:3", mend="name it"),
    "stop": KeyboardInterrupt(),
    "defect": RuntimeError("we were wrong"),
    "disk": OSError(errno.ENOSPC, "No space left on device", "out.csv"),
    "lost": OSError(errno.ECONNRESET, "reset"),
    "memory": MemoryError(),
    "exit": typer.Exit(7),
}


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer(cls=DarlGroup, pretty_exceptions_enable=False)

    @app.command()
    def fail(how: str) -> None:
        raise RAISED[how]

    @app.command()
    def wait() -> None:
        with sigterm_stops():
            signal.raise_signal(signal.SIGTERM)

    return app


def run(app: typer.Typer, how: str) -> Any:
    return CliRunner().invoke(app, ["fail", how])


def test_a_mendable_error(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARL_DEBUG", raising=False)
    result = run(app, "user")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "error: the column is missing\n  where: pairs.csv:3\n  mend: name it\n"
    monkeypatch.setenv("DARL_DEBUG", "1")
    assert "Traceback" in run(app, "user").stderr


def test_an_interruption_says_that_nothing_is_lost(app: typer.Typer) -> None:
    result = run(app, "stop")
    assert result.exit_code == 130
    assert "the same command resumes" in result.stderr
    assert "Traceback" not in result.stderr


def test_sigterm_stops_as_an_interruption_does_with_a_code_of_its_own(app: typer.Typer) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(app, ["wait"])
    assert result.exit_code == 143
    assert result.stderr == "stopped: nothing half-written is left; the same command resumes\n"
    assert signal.getsignal(signal.SIGTERM) is before


def test_under_torchrun_sigterm_ends_a_process_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_stops():  # a process that waits for the others in C would not get to a handler
        assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("how", ["defect", "lost"])
def test_a_defect_is_called_one(app: typer.Typer, how: str) -> None:
    result = run(app, how)
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert "defect of darl" in result.stderr
    assert "darl doctor" in result.stderr


def test_a_full_disk_and_full_memory_are_no_defects(app: typer.Typer) -> None:
    disk, memory = run(app, "disk"), run(app, "memory")
    assert disk.exit_code == memory.exit_code == 2
    assert "no space is left" in disk.stderr
    assert "where: out.csv" in disk.stderr
    assert "batch_size" in memory.stderr


def test_exit_codes_and_usage_errors_pass_through(app: typer.Typer) -> None:
    assert run(app, "exit").exit_code == 7
    result = CliRunner().invoke(app, ["fail"])
    assert result.exit_code == 2
    assert "defect" not in result.stderr
