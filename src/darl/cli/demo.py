"""`darl demo`: see it work on an embedded world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from darl.cli.output import put


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="A smaller world and fewer epochs.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the demo leaves its files.")] = Path("darl-demo"),
    keep: Annotated[bool, typer.Option(help="Keep the folder's files for a look.")] = True,
    backbone: Annotated[str, typer.Option(help="Any backbone with a language-model head.")] = "smollm2-135m",
    data_only: Annotated[
        bool, typer.Option("--data-only", help="Only write the world's pairs, train nothing.")
    ] = False,
) -> None:
    """Train on embedded insurance searches, meet new lines, select, label, train again.

    Stopped or killed, the same command resumes it.
    """
    from darl.progress import quiet_libraries

    quiet_libraries()
    from darl.demo.job import run_demo, write_data

    if data_only:
        put(f"the world's pairs: {write_data(folder, quick=quick)}")
        return
    run_demo(folder, quick=quick, keep=keep, backbone=backbone)
