"""`darl doctor`: what is missing on this machine?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from darl.cli.output import Output, put, put_json, working


def doctor(
    network: Annotated[bool, typer.Option("--network", help="Also try the package index and the model hub.")] = False,
    model: Annotated[
        Path | None, typer.Option("--bench", metavar="MODEL", help="Measure instead how fast a model scores here.")
    ] = None,
    output: Annotated[Output, typer.Option(help="How to print the findings.")] = "text",
) -> None:
    """Check this machine: packages, memory, disk, processors, backbones. Exit code 1 when something needed fails.

    With --bench MODEL: pairs a second by list length and batch, where the time goes, and which settings to use.
    """
    if model is not None:
        with working(quiet=False):
            from darl.verbs.bench import bench

            report = bench(model, quiet=False)
        put_json(report.to_dict()) if output == "json" else put(str(report))
        return
    from darl.doctor import examine, findings_text

    checks = examine(network=network)
    failed = any(check.status == "fail" for check in checks)
    if output == "json":
        put_json({"ok": not failed, "checks": [check.to_dict() for check in checks]})
    else:
        put(findings_text(checks))
    raise typer.Exit(1 if failed else 0)
