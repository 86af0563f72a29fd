"""The suite as a whole: which files come first, and what may be skipped where CI is set."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# Each takes half a minute or more, most of it in a few tests. A file is dealt to one process as a whole: begun last, it
# would run alone while the other cores have nothing left. Those of several processes do not stand side by side.
SLOW_FILES = (
    "scale_out/test_ray_engine.py",
    "benchmarks/test_ablation_climb.py",
    "docs/test_docs_site.py",
    "serving/test_serve_faults.py",
    "benchmarks/test_selection_tuned.py",
    "training/test_rounds_resume.py",
    "training/test_processes.py",
    "training/test_resume.py",
    "docs/test_docs_notebook.py",
    "verbs/test_score_resume.py",
    "training/test_tune.py",
    "training/test_match.py",
    "training/test_rounds.py",
    "training/test_distil.py",
    "model/test_kept_prefixes.py",
    "serving/test_serve_prefixes.py",
    "serving/test_serve_onnx.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow files first, all else as it was found; the quick doctests of ``src`` come last and fill the gaps."""
    places = {TESTS / name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


# What a test may skip for where CI is set, by how its reason begins. Any other skip would hide a failure there: all
# that `make setup` installs is installed.
MAY_SKIP_IN_CI = (
    "the graded suites are not at",  # they are no part of the repository
    "pytorch-ood is not installed",  # it brings a torchvision that seldom fits the installed torch
    "no Chromium on this machine",  # .ci/run brings it where root may install packages, and says so where not
    "no PostgreSQL on this machine",  # the same
    "PostgreSQL refuses to run as root",
    "mounting a small disk needs the right to mount",  # few containers have it
    "this processor's int8 products overflow",  # older processors: other tests look at what is done for them
    "torch without oneDNN",  # other processors have neither
    "torch computes without MKL here",
    "only glibc can",  # other systems
    "read from /proc",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips in CI for a reason that is not allowed there has failed."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same of a whole file."""
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") and report.skipped and isinstance(report.longrepr, tuple):
        file, line, said = report.longrepr
        if not said.removeprefix("Skipped: ").startswith(MAY_SKIP_IN_CI):
            report.outcome, report.longrepr = "failed", f"{file}:{line}: not to be skipped in CI. {said}"
