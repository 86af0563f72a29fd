"""build_report: from a run folder to one page and its pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from darl.progress import Reporter, quiet_libraries
from darl.recipe.file import recipe_to_yaml
from darl.report.confusion import confusion_part
from darl.report.coverage import measure_coverage
from darl.report.headline import headline
from darl.report.map import map_part
from darl.report.mistakes import mistakes_part
from darl.report.ood import ood_part
from darl.report.page import render_page
from darl.report.parts import Part
from darl.report.pictures import vega, write_pictures
from darl.report.reliability import calibration_part
from darl.report.rounds import rounds_part
from darl.report.runs import FinishedRun, open_run
from darl.report.slices import slices_part
from darl.report.stages import stages_part
from darl.report.sweep import sweep_part
from darl.report.texts import read_texts
from darl.storage import atomic_write_text


@dataclass(frozen=True)
class Report:
    """A built report.

    Attributes:
        page: the HTML file. pictures: the SVG and PNG files.
        parts: its sections. seconds: the time it took. bytes: the size of the page.
    """

    page: Path
    pictures: list[Path]
    parts: list[Part] = field(repr=False)
    seconds: float
    bytes: int

    @property
    def lacking(self) -> dict[str, str]:
        """What the run had nothing for, by section, in words."""
        return {part.name: part.missing for part in self.parts if part.missing}

    def to_dict(self) -> dict:
        """Plain JSON values, without the figures."""
        return {
            "page": str(self.page),
            "pictures": [str(path) for path in self.pictures],
            "seconds": round(self.seconds, 2),
            "bytes": self.bytes,
            "reads": {part.name: part.reads for part in self.parts if part.reads},
            "next": {part.name: part.then for part in self.parts if part.then},
            "lacking": self.lacking,
        }


def build_report(
    run: str | Path,
    *,
    baseline: str | Path | None = None,
    picked: str | Path | None = None,
    rounds: Sequence[str | Path] = (),
    out: str | Path | None = None,
    pictures: bool = True,
    sample: int = 600,
    seconds: float = 10.0,
    quiet: bool = True,
) -> Report:
    """Build the page of a finished run.

    Args:
        run: the folder that :func:`darl.fit` left.
        baseline: another run, judged on the same tests, to set this one against.
        picked: the pairs that :func:`darl.select` chose, to be shown on the map.
        rounds: earlier runs of the same task in their order, for the learning curve; default, of a run with
            ``rounds`` in its recipe, its own.
        out: the HTML file; default ``RUN/report/report.html``. The pictures go into ``figures`` beside it.
        pictures: also write every chart as SVG and PNG.
        sample: pairs of each set, at most, on the map and in the OOD distributions.
        seconds: that the model may run to place them; what it measured is kept, and the next call goes on.
        quiet: no progress on standard error.

    Raises:
        RunError: no finished run, or a baseline with other grades.
        MissingExtraError: the extra ``report`` is not installed.
        DataError, StorageError: ``picked`` cannot be read, or ``out`` not be written.

    ::

        found = darl.build_report("runs/shop", baseline="runs/naive", picked="to_label.jsonl")
        found.page, found.lacking
    """
    started = time.perf_counter()
    quiet_libraries()
    vega()  # a missing extra is said before the work
    reporter = Reporter(quiet=quiet)
    this = open_run(run)
    other = open_run(baseline) if baseline is not None else None
    earlier = [open_run(one) for one in rounds or this.earlier_rounds]
    page = Path(out).expanduser() if out is not None else this.folder / "report" / "report.html"
    texts = read_texts(this, picked)
    coverage = measure_coverage(
        this, texts, cache=this.folder / "report", limit=sample, seconds=seconds, reporter=reporter
    )
    parts = [
        headline(this, other),
        stages_part(this),
        slices_part(this),
        calibration_part(this),
        confusion_part(this),
        ood_part(this, coverage),
        map_part(this, coverage, picked_named=picked is not None),
        sweep_part(this),
        rounds_part(this, earlier),
        mistakes_part(this, texts),
    ]
    html = render_page(
        parts,
        title=f"Relevance model: {this.name}",
        about=_about(this),
        footer=f"Made by darl {_version()} from {this.folder}. The page is one file and asks the network for nothing.",
        appendix=[("The recipe as run", recipe_to_yaml(this.recipe)), ("Versions", _versions(this))],
    )
    atomic_write_text(page, html)
    charts = [chart for part in parts for chart in part.charts]
    written = write_pictures(charts, page.parent / "figures") if pictures else []
    return Report(page, written, parts, time.perf_counter() - started, len(html.encode("utf-8")))


def _about(run: FinishedRun) -> str:
    sizes = ", ".join(f"{name} {size:,}" for name, size in run.metrics.get("sizes", {}).items())
    return f"{run.recipe.backbone.name} · grades {', '.join(run.scale.names)} · pairs: {sizes} · seed {run.recipe.seed}"


def _versions(run: FinishedRun) -> str:
    path = run.folder / "versions.json"
    return path.read_text(encoding="utf-8") if path.is_file() else "not recorded"


def _version() -> str:
    try:
        return version("darl")
    except PackageNotFoundError:
        return "from source"
