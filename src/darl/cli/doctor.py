"""`darl doctor`: what is missing on this machine?"""

from __future__ import annotations

from typing import Annotated

import typer

from darl.cli.output import Output, put, put_json


def doctor(
    network: Annotated[bool, typer.Option("--network", help="Also try the package index and the model hub.")] = False,
    output: Annotated[Output, typer.Option(help="How to print the findings.")] = "text",
) -> None:
    """Check this machine: packages, memory, disk, processors, backbones. Exit code 1 when something needed fails."""
    from darl.doctor import examine, findings_text

    checks = examine(network=network)
    failed = any(check.status == "fail" for check in checks)
    if output == "json":
        put_json({"ok": not failed, "checks": [check.to_dict() for check in checks]})
    else:
        put(findings_text(checks))
    raise typer.Exit(1 if failed else 0)
