"""`darl drift`: has the traffic moved?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from darl.cli.arguments import Columns, Device, Quiet, Seed, Where, filters, listed, mapping
from darl.cli.output import Output, put, put_json, save, working

ALARM, TOO_LITTLE = 3, 4


def drift(
    model: Annotated[Path, typer.Argument(help="The folder of a model, or of a run.", show_default=False)],
    traffic: Annotated[
        str, typer.Argument(help="Pairs, graded or not, or the folder of a server's traffic log.", show_default=False)
    ],
    window: Annotated[int | None, typer.Option(min=1, metavar="PAIRS", help="Pairs a window.")] = None,
    every: Annotated[str | None, typer.Option(metavar="6h|1d|1w", help="Or: its length, by the column time.")] = None,
    slices: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN,…", help="Look for slices in these columns; default all.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="FILE", help="Graded known pairs, not of training, to compare with instead.")
    ] = None,
    logged: Annotated[bool, typer.Option("--logged", help="Take a log's figures; do not score anew.")] = False,
    alpha: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="False alarms that known traffic may raise.")
    ] = 0.01,
    budget: Annotated[int, typer.Option(min=1, help="Of the select command that comes next.")] = 200,
    columns: Columns = None,
    where: Where = None,
    seed: Seed = 0,
    device: Device = None,
    page: Annotated[Path | None, typer.Option(metavar="HTML", help="Also write the answer as a page.")] = None,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print the answer.")] = "text",
) -> None:
    """Hold traffic against what the model knows: how much of it is far out, what moved, what to label next.

    Exit code, for cron: 0 calm, 3 alarm, 4 too little traffic to judge.
    """
    with working(quiet=quiet):
        from darl.drift.check import check_drift
        from darl.drift.words import drift_text
        from darl.verbs.inputs import as_model

        found = check_drift(
            as_model(model, device=device),
            traffic,
            reference=reference,
            window=window,
            every=every,
            columns=mapping(columns, "--columns"),
            where=filters(where),
            slices=listed(slices) or None,
            logged=logged,
            alpha=alpha,
            seed=seed,
            budget=budget,
            model_name=str(model),
            quiet=quiet,
        )
    if page is not None:
        from darl.drift.page import drift_page

        save(page, drift_page(found))
    if output == "json":
        put_json(found.to_dict())
    else:
        put(drift_text(found))
    if found.state != "calm":
        raise typer.Exit(ALARM if found.state == "alarm" else TOO_LITTLE)
