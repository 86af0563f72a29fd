"""The house rules of docs/architecture.md as tests: direction of imports, size of files, docstrings."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO_ROOT = Path(__file__).resolve().parents[1]
SOURCE = REPO_ROOT / "src" / "darl"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST = 400

LOW = {"errors", "grades", "decisions", "storage", "pairs"}
MIDDLE = {"evaluation", "losses", "ood"}
# What each part of the house may import besides itself. Keep it in step with the table in docs/architecture.md.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "cores": set(),
    "memory": set(),
    "grades": {"errors"},
    "decisions": {"errors", "grades"},
    "storage": {"errors"},
    "progress": set(),
    "pairs": {"errors", "grades", "storage"},
    "evaluation": LOW,
    "losses": {"errors", "grades", "decisions"},
    "ood": {"errors", "grades", "decisions", "storage"},
    "labelling": LOW | {"evaluation"},
    "model": LOW | {"ood"},
    "dasa": LOW | {"memory", "ood", "model"},
    "export": LOW | MIDDLE | {"cores", "model"},
    "recipe": LOW,
    "training": LOW | MIDDLE | {"labelling", "model", "dasa", "recipe", "progress"},
    "verbs": LOW | MIDDLE | {"cores", "memory", "model", "dasa", "export", "recipe", "progress", "training"},
    "demo": LOW | MIDDLE | {"model", "dasa", "recipe", "progress", "training", "verbs"},
    "report": LOW | MIDDLE | {"model", "recipe", "progress", "training"},
    "serving": LOW | MIDDLE | {"cores", "memory", "model", "dasa", "export", "recipe", "progress", "training", "verbs"},
    "drift": LOW | MIDDLE | {"model", "recipe", "progress", "training", "verbs", "report"},
    "scale_out": LOW | MIDDLE | {"memory", "model", "dasa", "progress", "verbs"},
    "doctor": LOW | {"cores", "model"},
    "cli": LOW
    | MIDDLE
    | {
        "memory",
        "model",
        "dasa",
        "export",
        "recipe",
        "progress",
        "training",
        "verbs",
        "demo",
        "doctor",
        "report",
        "labelling",
        "serving",
        "drift",
        "scale_out",
    },
}
FACADE = {"__init__", "__main__"}  # the package's own front door names everything


def name_of(path: Path) -> str:
    """The path within the package, as a test's name."""
    return str(path.relative_to(SOURCE))


def part_of(path: Path) -> str:
    """The package or top-level module a file belongs to."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def public_names() -> list[tuple[str, str]]:
    """(package, name) for every name in the ``__all__`` of a package."""
    found = []
    for path in MODULES:
        if path.name != "__init__.py":
            continue
        package = ".".join(("darl", *path.relative_to(SOURCE).parent.parts))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                assert isinstance(node, ast.Assign)
                found += [(package, name) for name in ast.literal_eval(node.value)]
    return found


def imported_parts(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """(line, part) of each import from darl in a file, those inside functions too."""
    package = ("darl", *path.relative_to(SOURCE).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            head = ".".join((*base, *([node.module] if node.module else [])))
            names = [f"darl.{alias.name}" for alias in node.names] if head == "darl" else [head]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "darl" and len(parts) > 1:
                yield node.lineno, parts[1]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_holds_one_concept(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{name_of(path)} has {lines} lines, more than {LONGEST}: split it by concept"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_holds(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", [p for p in MODULES if part_of(p) not in FACADE], ids=name_of)
def test_imports_never_go_up(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, f"{part!r} has no place in the house: add it to docs/architecture.md and to this test"
    allowed = MAY_IMPORT[part] | {part, "__version__"}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrong = [f"line {line}: darl.{name}" for line, name in imported_parts(tree, path) if name not in allowed]
    assert not wrong, f"{name_of(path)} ({part}) may not import {', '.join(wrong)}"


def test_the_table_of_directions_has_no_circle() -> None:
    done: set[str] = set()
    while ready := {part for part, below in MAY_IMPORT.items() if part not in done and below <= done}:
        done |= ready
    assert done == set(MAY_IMPORT)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_the_architecture_page_names_every_part(part: str) -> None:
    if not (SOURCE / part).is_dir() and not (SOURCE / f"{part}.py").is_file():
        pytest.skip(f"darl.{part} is not built yet")
    page = (REPO_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert any(f"`{part}/`" in row or f"`{part}.py`" in row for row in rows), f"docs/architecture.md: no row for {part}"


@pytest.mark.parametrize(("package", "name"), public_names(), ids=".".join)
def test_every_public_name_explains_itself(package: str, name: str) -> None:
    thing = getattr(importlib.import_module(package), name)
    if inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing):
        text = thing.__doc__ or ""
        # A dataclass without a docstring is given its signature as one.
        generated = inspect.isclass(thing) and text.startswith(f"{thing.__name__}(")
        assert text.strip(), f"{package}.{name} has no docstring"
        assert not generated, f"{package}.{name} has no docstring of its own"
