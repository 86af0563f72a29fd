"""mkdocs hook: the page of all commands, written from the commands themselves, so that it cannot fall behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mkdocs.structure.files import File, Files

PAGE = "reference/cli.md"
HEAD = """# Commands

Every command and option, as `darl COMMAND --help` shows them.

| exit code | |
|---|---|
| 0 | done |
| 1 | a defect of darl, with its traceback; of `darl doctor`: a check failed |
| 2 | a mistake in the call, the files or the machine; the message says what, where and how to mend it |
| 3 | `fit`: labels are awaited; `drift`: alarm |
| 4 | `drift`: too little traffic to judge |
| 130 | interrupted; the same command resumes |
| 143 | the same of `fit` and `distil` stopped by SIGTERM |

`DARL_DEBUG=1` prints the traceback of a mistake too.
"""


def on_files(files: Files, config: Any) -> Files:
    """Adds the page to those that lie on disk."""
    files.append(File.generated(config, PAGE, content=cli_page()))
    return files


def cli_page() -> str:
    """The page as Markdown: one section a command, in the order of ``darl --help``."""
    import typer

    from darl.cli.main import app

    return HEAD + "".join(_section(name, command) for name, command in _walk("darl", typer.main.get_command(app)))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    if name != "darl":
        yield name, command
    for short, one in below.items():
        yield from _walk(f"{name} {short}", one)


def _section(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option" and "--help" not in param.opts]
    needed = [f"{param.opts[-1]} {_value(param)}" for param in options if param.required]
    usage = " ".join([name, *(_argument(param) for param in arguments), *needed])
    if getattr(command, "commands", None):
        usage += " COMMAND"
    text = f"\n## {name}\n\n{_plain(command.help)}\n\n```text\n{usage} [OPTIONS]\n```\n"
    rows = [(_argument(param), "", param.help) for param in arguments]
    rows += [(", ".join([*param.opts, *param.secondary_opts]), _default(param), param.help) for param in options]
    if rows:
        text += "\n| | default | |\n|---|---|---|\n"
        for first, default, about in rows:
            text += f"| `{_cell(first)}` | {_cell(default)} | {_cell(_plain(about))} |\n"
    return text


def _value(param: Any) -> str:
    return (param.metavar or param.name).upper()


def _argument(param: Any) -> str:
    shown = param.metavar or param.name.upper()
    return shown if param.required or shown.startswith("[") else f"[{shown}]"


def _default(param: Any) -> str:
    if param.required:
        return "needed"
    plain = isinstance(param.default, (str, int, float)) and not isinstance(param.default, bool)
    return f"`{param.default}`" if plain else ("on" if param.default is True else "")


def _plain(text: str | None) -> str:
    """Rich's marks out: ``[bold]x[/bold]`` is x."""
    return re.sub(r"\[/?(?:bold|dim|italic)\]", "", text or "").strip()


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
