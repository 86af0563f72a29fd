"""`darl select`: which pairs of the pool should be labelled next?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from darl.cli.arguments import Columns, Device, Quiet, RayAddress, Seed, Where, Workers, filters, mapping, named_files
from darl.cli.output import Output, note, put, put_json, working
from darl.cli.targets import refuse_overwrite

SHOWN = 20


def select(
    model: Annotated[Path, typer.Argument(help="The folder of a model, or of a run.", show_default=False)],
    budget: Annotated[int, typer.Option(min=1, help="How many pairs to pick.", show_default=False)],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help=".jsonl, .csv or .parquet", show_default=False)
    ],
    pool: Annotated[
        str | None, typer.Argument(help="The unlabelled pairs; default the pool that the run's recipe names.")
    ] = None,
    train: Annotated[
        str | None, typer.Option(metavar="FILE", help="What the model was trained on; default what its run says.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]FILE",
            help="Evaluation pairs, none of whose queries may be picked, beside those of the run; repeatable.",
        ),
    ] = None,
    already: Annotated[
        str | None, typer.Option(metavar="FILE", help="Pairs labelled since, as in an earlier round.")
    ] = None,
    per_query: Annotated[int, typer.Option(min=0, help="At most so many pairs of a query; 0: no cap.")] = 5,
    per_item: Annotated[int, typer.Option(min=0, help="At most so many pairs of an item text; 0: no cap.")] = 1,
    strategy: Annotated[
        str,
        typer.Option(
            help="Ranks by coverage, balanced, dasa, k-center, typiclust, badge, uncertainty, margin or random."
        ),
    ] = "coverage",
    cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keeps the pool's scores and features in shards: a killed run goes on."),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="ray: the workers of a cluster score the pool; needs --cache.")
    ] = "local",
    workers: Workers = None,
    ray_address: RayAddress = None,
    columns: Columns = None,
    where: Where = None,
    seed: Seed = 0,
    device: Device = None,
    explain: Annotated[
        bool, typer.Option("--explain", help=f"Show the first {SHOWN} picks with their reasons.")
    ] = False,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print the report.")] = "text",
) -> None:
    """Pick the pairs of an unlabelled pool that are worth a label.

    A model that still lies in its run brings its training and evaluation pairs for the guards.
    """
    names, kept = mapping(columns, "--columns"), filters(where)
    guarded = named_files(against or [])
    refuse_overwrite(out, pool, train, already, *guarded.values())
    with working(quiet=quiet):
        from darl.memory import keep_little_code, share_heap_with_arrow

        keep_little_code()
        share_heap_with_arrow()  # before the others load Arrow
        from darl.dasa import select as run_select
        from darl.dasa.pool import open_pool
        from darl.errors import DataError, RecipeError
        from darl.model.saving import model_folder
        from darl.pairs import read_pairs, write_pairs
        from darl.pairs.formats import file_kind
        from darl.progress import Reporter
        from darl.verbs.inputs import as_model
        from darl.verbs.run_data import run_splits

        file_kind(out)  # an unknown format is refused before the work
        elsewhere = None
        if engine == "ray":
            from darl.scale_out import RayEngine

            folder = model_folder(model)
            elsewhere = RayEngine(folder, device=device, workers=workers, address=ray_address)
        loaded = as_model(model, device=device)

        def known_pairs(path: str, columns: dict[str, str] | None = None) -> Any:
            # for guards the texts are enough: picks that are still out for labelling count too
            return read_pairs(path, scale=loaded.scale, columns=columns, require_grades=False)

        try:
            known = run_splits(model)
        except DataError as error:
            if train is None or not against or not pool:
                raise
            known = None
            note(f"the run's own pairs guard nothing, they cannot be read any more: {error.what}")
        labelled = known_pairs(train, names) if train is not None else known and known.train
        judging = {name: known_pairs(path, names) for name, path in guarded.items()}
        own = {} if known is None else known.evaluations
        if own or judging:
            guards = [*(f"the run's own {name}" for name in own), *judging]
            note(f"guarding against {', '.join(guards)}")
        judging = {**{f"run {name}" if name in judging else name: table for name, table in own.items()}, **judging}
        source: Any = pool
        if source is None:
            if known is None or known.pool is None:
                raise RecipeError(
                    "no pool is named",
                    where="select",
                    mend="give its file after the model, or `data.pool` in the recipe",
                )
            source, names, kept = known.pool.path, {**known.columns, **names}, {**known.pool.where, **kept}
            refuse_overwrite(out, source)
        opened = open_pool(source, columns=names, where=kept)
        if opened.unreadable:
            note(f"{len(opened.unreadable):,} rows of the pool could not be parsed and were left out")
        with Reporter(quiet=quiet).bar("scoring the pool", len(opened.pairs)) as advance:
            picked = run_select(
                loaded if cache is None else model_folder(model),
                opened,
                budget=budget,
                train=labelled,
                evaluations=judging,
                per_query=per_query or None,
                per_item=per_item or None,
                already=known_pairs(already) if already else None,
                seed=seed,
                strategy=strategy,
                progress=advance,
                cache=cache,
                engine=elsewhere,
            )
        write_pairs(picked.pairs, out)
    if output == "json":
        rows = picked.to_dict()["pairs"][:SHOWN] if explain else []
        put_json({"out": str(out), "picked": len(picked), "report": picked.report, **({"pairs": rows} if rows else {})})
        return
    put(picked.to_text(show=SHOWN if explain else 3))
    put(f"\n{len(picked):,} pairs → {out}")
