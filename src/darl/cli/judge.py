"""`darl judge`: a language model behind an endpoint labels pairs, once it was measured on gold labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from darl.cli.arguments import Columns, Quiet, listed, mapping, scale_of
from darl.cli.output import Output, note, put, put_json
from darl.cli.targets import refuse_overwrite, require_json_lines


def judge(
    pairs: Annotated[str, typer.Argument(help="The pairs to label, as `darl select` writes them.", show_default=False)],
    endpoint: Annotated[
        str,
        typer.Option(metavar="URL", help="An OpenAI-compatible API, as http://localhost:8000/v1.", show_default=False),
    ],
    model: Annotated[str, typer.Option(metavar="NAME", help="The model's name there.", show_default=False)],
    grades: Annotated[
        str,
        typer.Option(
            metavar="NAMES|PATH",
            help="Grade names, least relevant first; or a recipe, a model or a run.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="OUT", help="The labelled pairs, a .jsonl file.", show_default=False),
    ] = None,
    gold: Annotated[
        str | None, typer.Option(metavar="FILE", help="Pairs with known grades; the judge is measured on them first.")
    ] = None,
    min_agreement: Annotated[
        float | None, typer.Option(help="Write no labels where the agreement with gold is below this.")
    ] = None,
    measure: Annotated[
        Literal["qwk", "kappa", "accuracy"], typer.Option(help="What --min-agreement is held against.")
    ] = "qwk",
    unmeasured: Annotated[bool, typer.Option("--unmeasured", help="Label without gold pairs.")] = False,
    only_gold: Annotated[bool, typer.Option("--only-gold", help="Measure the judge, and label nothing.")] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Say what it will take and cost, and ask nothing.")
    ] = False,
    guideline: Annotated[Path | None, typer.Option(metavar="FILE", help="How to grade, as text or Markdown.")] = None,
    examples: Annotated[
        str | None, typer.Option(metavar="FILE", help="Graded pairs to show the judge; a handful, no gold queries.")
    ] = None,
    show: Annotated[list[str] | None, typer.Option(help="Further columns to show, as in brand,colour.")] = None,
    reason: Annotated[bool, typer.Option("--reason", help="Have it give a reason before each grade.")] = False,
    samples: Annotated[int, typer.Option(help="Answers for each pair; most votes win.")] = 1,
    min_confidence: Annotated[
        float, typer.Option(help="Leave a pair unlabelled where a smaller share of its samples agree.")
    ] = 0.0,
    temperature: Annotated[
        float | None, typer.Option(help="Default: 0 for one sample, the endpoint's own for several.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Of an answer, thoughts included.")] = 256,
    answer: Annotated[
        Literal["auto", "schema", "json", "text"], typer.Option(help="The form of answer to ask for.")
    ] = "auto",
    tries: Annotated[int, typer.Option(help="Times to ask for an answer that can be read.")] = 3,
    concurrency: Annotated[int, typer.Option(help="Requests at a time.")] = 8,
    timeout: Annotated[float, typer.Option(help="Seconds for a request.")] = 60.0,
    retries: Annotated[int, typer.Option(help="Further attempts of a failed request.")] = 5,
    price: Annotated[
        str | None, typer.Option(metavar="IN,OUT", help="Of a million tokens sent and answered, as in 0.15,0.60.")
    ] = None,
    budget: Annotated[float | None, typer.Option(help="The most the job may cost, earlier starts included.")] = None,
    key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The environment variable with the key; default DARL_JUDGE_KEY."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many pairs.")] = None,
    weight: Annotated[
        float | None, typer.Option(help="Give each row this weight × its confidence.", show_default=False)
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Every judgement, for `darl label merge` and `agreement`.")
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The pairs without a grade, for people to label.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Prompt, agreement, judged gold, cost; default beside OUT."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The answers so far; default PAIRS.judge.sqlite.")
    ] = None,
    columns: Columns = None,
    quiet: Quiet = False,
    output: Annotated[Output, typer.Option(help="How to print the result.")] = "text",
) -> None:
    """Have a language model grade pairs, through any OpenAI-compatible endpoint.

    It is measured on the gold pairs first. The same command goes on after a stop, and asks nothing twice.
    """
    if out is None and not (estimate or only_gold):
        raise typer.BadParameter("name the file for the labels, or say --estimate or --only-gold", param_hint="-o")
    for option, path in (("-o", out), ("--answers", answers), ("--unlabelled", unlabelled)):
        require_json_lines(option, path)
    from darl.labelling.judge import judge_pairs
    from darl.labelling.judge.job import report_file
    from darl.progress import Reporter

    others = [pairs, gold, examples, guideline, cache]
    for path in (out, answers, unlabelled, report_file(out, report)):
        refuse_overwrite(path, *others)
        others.append(path)
    prices = _prices(price, budget)
    names = mapping(columns, "--columns")
    settings = {
        "samples": samples,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "answer": answer,
        "tries": tries,
        "concurrency": concurrency,
        "timeout": timeout,
        "retries": retries,
    }
    reporter = Reporter(quiet=quiet)
    found = judge_pairs(
        pairs,
        endpoint=endpoint,
        model=model,
        scale=scale_of(grades),
        gold=gold,
        unmeasured=unmeasured,
        min_agreement=min_agreement,
        measure=measure,
        guideline=guideline,
        examples=examples,
        show=listed(show),
        reason=reason,
        settings=settings,
        prices=prices,
        key_env=key_env,
        cache=cache,
        columns=names,
        limit=limit,
        min_confidence=min_confidence,
        weight=weight,
        out=out,
        answers=answers,
        unlabelled=unlabelled,
        report=report,
        stop_after="estimate" if estimate else "gold" if only_gold else None,
        told=lambda text: None if quiet or estimate else note(text),
        bar=lambda what, total: reporter.bar(what, total, "answers"),
    )
    if output == "json":
        put_json({"out": None if out is None else str(out), **found.to_dict()})
    elif estimate:
        put(found.estimate.to_text())
    else:
        put("\n".join([*([found.agreement.to_text()] if found.agreement else []), found.to_text()]))
        if not only_gold:
            put(f"{len(found.rows):,} pairs → {out}")


def _prices(text: str | None, budget: float | None) -> Any:
    from darl.labelling.judge.settings import Prices

    sent, comma, answered = (text or "").partition(",")
    try:
        return Prices(float(sent or 0), float(answered or 0) if comma else 0.0, budget)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not IN,OUT", param_hint="--price") from error
