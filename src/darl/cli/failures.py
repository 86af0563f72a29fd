"""What the command line says when something goes wrong, and with which exit code.

2: something the user can mend (any :class:`DarlError`) · 130: interrupted, 143: by SIGTERM · 1: a defect of darl.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from darl.errors import DarlError, StorageError
from darl.storage import storage_errors

# typer ≥ 0.20 carries a click of its own, so the class is found by way of typer's own exception
_CLICK_ERROR: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextlib.contextmanager
def sigterm_stops() -> Iterator[None]:
    """SIGTERM stops the block as Ctrl+C does; the first process of a container would not even notice it otherwise.

    Under ``torchrun`` it ends the process at once, as ever: one that waits for the others hears of no signal.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    raise _Terminated


class DarlGroup(TyperGroup):
    """The group of all commands: turns what escapes from one into a few lines and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _CLICK_ERROR):
            raise
        except DarlError as error:
            raise typer.Exit(_mendable(error)) from error
        except KeyboardInterrupt as error:
            _say("stopped", "nothing half-written is left; the same command resumes")
            raise typer.Exit(143 if isinstance(error, _Terminated) else 130) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output went away, as `| head` does
                raise
            raise typer.Exit(_mendable(_on_disk(error)) if error.errno in _DISK else _defect(error)) from error
        except MemoryError as error:
            raise typer.Exit(_out_of_memory(error)) from error
        except Exception as error:
            memory = type(error).__name__ == "OutOfMemoryError"  # of CUDA; torch is not imported for its name
            raise typer.Exit(_out_of_memory(error) if memory else _defect(error)) from error


def _mendable(error: DarlError) -> int:
    _debug(error)
    lines = [("error", error.what)]
    if error.where:
        lines.append(("where", error.where))
    if error.mend:
        lines.append(("mend", error.mend))
    _say(*lines[0], style="bold red")
    for name, text in lines[1:]:
        _say(f"  {name}", text)
    return error.exit_code


def _out_of_memory(error: BaseException) -> int:
    mend = "lower tune.batch_size (raise tune.accumulate as much) or backbone.max_length, or take a smaller backbone"
    return _mendable(DarlError(f"the memory is used up ({error or type(error).__name__})", mend=mend))


def _defect(error: BaseException) -> int:
    sys.stderr.write("".join(traceback.format_exception(error)))
    _say("error", f"this is a defect of darl, not of your data: {type(error).__name__}: {error}", style="bold red")
    _say("  mend", "please report it with the lines above, the command, and what `darl doctor` prints")
    return 1


def _on_disk(error: OSError) -> StorageError:
    try:
        with storage_errors(error.filename or "the disk"):
            raise error
    except StorageError as found:
        return found


def _debug(error: BaseException) -> None:
    if os.environ.get("DARL_DEBUG", "0") not in ("", "0"):
        sys.stderr.write("".join(traceback.format_exception(error)))


def _say(name: str, text: object, *, style: str = "red") -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble((f"{name}: ", style), (str(text), "red")))
