"""`darl score`: a result for every pair of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from darl.cli.arguments import Columns, Device, Dtype, Quiet, RayAddress, SkipBad, Where, Workers, filters, mapping
from darl.cli.output import Output, put, put_json, working


def score(
    model: Annotated[Path, typer.Argument(help="The folder of a model, or of a run.", show_default=False)],
    file: Annotated[str, typer.Argument(help="The pairs; grades are not needed.", show_default=False)],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help=".parquet, .jsonl, .csv or .tsv", show_default=False)
    ],
    columns: Columns = None,
    where: Where = None,
    skip_bad_rows: SkipBad = False,
    ood: Annotated[bool, typer.Option(help="Also say how far out each pair is; takes a second pass.")] = True,
    prefix: Annotated[
        str | None, typer.Option(help="Before the names of the new columns; default none, or darl_ on a collision.")
    ] = None,
    device: Device = None,
    dtype: Dtype = None,
    runtime: Annotated[
        Literal["torch", "onnx"], typer.Option(help="onnx: MODEL is a folder that `darl export` wrote.")
    ] = "torch",
    tokens_per_batch: Annotated[
        int | None, typer.Option(min=1, help="Distinct tokens of a forward pass; see `darl doctor --bench`.")
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: the workers of a cluster score, or one worker a core here.")
    ] = "local",
    workers: Workers = None,
    ray_address: RayAddress = None,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print what was done.")] = "text",
) -> None:
    """Score every pair of a file: one result a pair, in its order, beside the columns that were there.

    The file may be larger than memory. A run that is killed goes on with the same command.
    """
    with working(quiet=quiet):
        from darl.memory import keep_little_code, share_heap_with_arrow

        keep_little_code()
        share_heap_with_arrow()  # before the others load Arrow
        from darl.verbs.inputs import as_scorer
        from darl.verbs.score import check_target, score_pairs

        check_target(out, file)  # before the model is loaded
        elsewhere = None
        if engine == "ray":
            from darl.scale_out import RayEngine

            elsewhere = RayEngine(
                model, runtime=runtime, device=device, dtype=dtype, workers=workers, address=ray_address
            )
        result = score_pairs(
            as_scorer(model, runtime=runtime, device=device, dtype=dtype),
            file,
            out,
            columns=mapping(columns, "--columns"),
            where=filters(where),
            on_bad_rows="skip" if skip_bad_rows else "error",
            ood=ood,
            prefix=prefix,
            tokens_per_batch=tokens_per_batch,
            engine=elsewhere,
            quiet=quiet,
        )
    if output == "json":
        put_json(result.to_dict())
        return
    left_out = f", {result.left_out:,} unusable rows left out" if result.left_out else ""
    speed = f"{result.seconds:.1f} s ({result.pairs_per_second:,.0f} a second)"
    put(f"{result.pairs:,} pairs in {speed}{left_out} → {result.path}")
    put(f"new columns: {', '.join(result.columns)}")
