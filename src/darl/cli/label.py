"""`darl label`: people grade pairs on a page in the browser; export, merge and measure what they said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from darl.cli.arguments import Columns, listed, mapping, scale_of
from darl.cli.output import Output, note, put, put_json, save
from darl.cli.targets import refuse_overwrite, require_json_lines

PAGE = "page"


class PageByDefault(TyperGroup):
    """`darl label picked.jsonl` is `darl label page picked.jsonl`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [PAGE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=PageByDefault,
    no_args_is_help=True,
    help="Label pairs on a page in the browser: [bold]darl label picked.jsonl --grades irrelevant,weak,strong[/bold]",
)

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE…",
        help="Labelling databases (file or URL), or files of `darl label export`.",
        show_default=False,
    ),
]


@app.command(PAGE)
def page(
    pairs: Annotated[str, typer.Argument(help="The pairs to label, as `darl select` writes them.", show_default=False)],
    grades: Annotated[
        str | None,
        typer.Option(metavar="NAMES|PATH", help="Grade names, least relevant first; or a recipe, a model or a run."),
    ] = None,
    guideline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Markdown or text, shown beside the pairs as it is.")
    ] = None,
    gold: Annotated[str | None, typer.Option(metavar="FILE", help="Pairs with known grades, mixed in unseen.")] = None,
    gold_share: Annotated[float | None, typer.Option(help="Share of gold pairs; 0.1 to begin with.")] = None,
    repeat_share: Annotated[float | None, typer.Option(help="Share of repeated pairs; 0.05 to begin with.")] = None,
    labels_per_pair: Annotated[int | None, typer.Option(help="Annotators for each pair; 1 to begin with.")] = None,
    overlap: Annotated[
        float | None, typer.Option(help="Share of pairs that one more annotator grades; 0 to begin with.")
    ] = None,
    lease_minutes: Annotated[
        float | None, typer.Option(help="How long a pair is kept for who left it open; 10 to begin with.")
    ] = None,
    show: Annotated[list[str] | None, typer.Option(help="Further columns to show, as in brand,colour.")] = None,
    db: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="The database; default PAIRS.labels.sqlite. Or postgresql://…"),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets others in, by a key.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8765,
    key: Annotated[str | None, typer.Option(envvar="DARL_LABEL_KEY", help="Access key; default made for you.")] = None,
    columns: Columns = None,
) -> None:
    """Serve the labelling page; the same command goes on after a stop."""
    from darl.labelling.job import label_pairs

    settings = {
        "gold_share": gold_share,
        "repeat_share": repeat_share,
        "labels_per_pair": labels_per_pair,
        "overlap": overlap,
        "lease_seconds": None if lease_minutes is None else 60 * lease_minutes,
        "show": tuple(listed(show)) or None,
    }

    def ready(address: Any, database: str) -> None:
        note(f"answers go to {database}")
        note(f"label at {address.url}   (stop with Ctrl+C; nothing is lost)")

    label_pairs(
        pairs,
        scale=None if grades is None else scale_of(grades),
        gold=gold,
        guideline=guideline,
        db=db,
        columns=mapping(columns, "--columns"),
        settings=settings,
        host=host,
        port=port,
        key=key,
        ready=ready,
    )


@app.command()
def export(
    sources: Sources,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="A .jsonl file.", show_default=False)],
) -> None:
    """Write every answer as a line of JSON: who, what, when, with which note."""
    require_json_lines("-o", out)
    refuse_overwrite(out, sources)
    from darl.labelling import export_answers, read_answers

    found = read_answers(sources)
    export_answers(found, out)
    put(f"{len(found):,} answers → {out}")


@app.command()
def merge(
    sources: Sources,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="A .jsonl file.", show_default=False)],
    rule: Annotated[
        Literal["majority", "latest", "adjudication"], typer.Option(help="Which grade a pair gets.")
    ] = "majority",
    adjudicator: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Whose word settles a conflict; repeatable.")
    ] = None,
    conflicts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the undecided pairs there, to be labelled once more.")
    ] = None,
    output: Annotated[Output, typer.Option(help="How to print the report.")] = "text",
) -> None:
    """Write one grade a pair, fit to be training pairs of `darl fit`; name every conflict."""
    require_json_lines("-o", out)
    require_json_lines("--conflicts", conflicts)
    refuse_overwrite(out, sources, conflicts)
    refuse_overwrite(conflicts, sources)
    from darl.labelling import merge_answers, read_answers, write_merged

    merged = merge_answers(read_answers(sources), rule, adjudicators=adjudicator or ())
    write_merged(merged, out, conflicts)
    if output == "json":
        put_json({"out": str(out), **merged.to_dict()})
        return
    put(merged.to_text())
    put(f"{len(merged.rows):,} pairs → {out}")


@app.command()
def agreement(
    sources: Sources,
    output: Annotated[Output, typer.Option(help="How to print the report.")] = "text",
    save_to: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the JSON there too.")] = None,
) -> None:
    """Say how far to trust the labels: right on gold, the same on repeats, agreed between annotators."""
    refuse_overwrite(save_to, sources)
    import json

    from darl.labelling import agreement_report, read_answers

    report = agreement_report(read_answers(sources))
    save(save_to, json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    if output == "json":
        put_json(report.to_dict())
    else:
        put(report.to_text())
