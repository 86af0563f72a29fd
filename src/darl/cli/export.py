"""`darl export`: a model for another runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from darl.cli.arguments import Columns, Quiet, Where, filters, mapping
from darl.cli.output import Output, put, put_json, working


def export(
    model: Annotated[Path, typer.Argument(help="The folder of a model, or of a run.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="A new folder.", show_default=False)],
    format: Annotated[Literal["onnx"], typer.Option("--format", help="For onnxruntime.")] = "onnx",
    int8: Annotated[bool, typer.Option("--int8", help="Also with weights in int8: faster on a CPU.")] = False,
    check: Annotated[
        str | None, typer.Option(metavar="FILE", help="Graded pairs to measure what is lost; else only parity is.")
    ] = None,
    columns: Columns = None,
    where: Where = None,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print the report.")] = "text",
) -> None:
    """Write a model as ONNX, and say how far its scores are from the model's own."""
    with working(quiet=quiet):
        from darl.export import export_onnx
        from darl.verbs.inputs import as_model, as_table

        found = as_model(model, device="cpu")
        pairs = None
        if check is not None:
            pairs = as_table(check, found.scale, columns=mapping(columns, "--columns"), where=filters(where))
        reports = export_onnx(found, out, int8=int8, pairs=pairs)
    if output == "json":
        put_json({"format": format, "path": str(out), "parity": [report.to_dict() for report in reports]})
        return
    put(f"{out}: {format}")
    for one in reports:
        line = f"{one.graph:<8} {one.pairs:,} pairs, largest difference of a probability "
        line += f"{one.max_probability_difference:.1e}, same grade {one.same_grade:.1%}"
        if one.f1_loss is not None:
            line += f", macro-F1 {one.macro_f1:.4f} (own {one.own_macro_f1:.4f}, lost {one.f1_loss:+.4f})"
        put(line)
