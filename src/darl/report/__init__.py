"""The report of a run: one self-contained page that a search lead reads in two minutes, and its pictures.

Each section of the page is a file here (headline, stages, slices, calibration, confusion, ood, map, sweep, rounds,
mistakes) that turns figures into a :class:`~darl.report.parts.Part`; ``page.py`` and ``pictures.py`` draw parts
and know nothing of runs, so other pages share the look.
"""

from darl.report.build import Report, build_report
from darl.report.page import render_page
from darl.report.parts import Chart, Part, Table, Tile

__all__ = ["Chart", "Part", "Report", "Table", "Tile", "build_report", "render_page"]
