"""Write the exact versions of what ``darl[dev,tracking]`` needs, as installed in this environment.

    python requirements/pin.py > requirements/constraints.txt

Run it in an environment whose versions the tests have passed with. Packages that are installed but not
needed are left out, and so is darl itself. Build tags (``+cpu``) are dropped, for an index that has other builds.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("dev", "tracking")


def roots(pyproject: Path) -> list[Requirement]:
    """What the project asks for itself, its extras included."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    optional = project.get("optional-dependencies", {})
    found, todo = [Requirement(line) for line in project["dependencies"]], list(EXTRAS)
    for extra in todo:  # grows: an extra may name others, as in darl[serve]
        for requirement in map(Requirement, optional.get(extra, [])):
            if canonicalize_name(requirement.name) == project["name"]:
                todo += [other for other in requirement.extras if other not in todo]
            else:
                found.append(requirement)
    return found


def closure(wanted: list[Requirement]) -> dict[str, str]:
    """Everything reachable from the requirements that is installed: canonical name → version."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(requirement, "") for requirement in wanted]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            print(f"not installed: {requirement}", file=sys.stderr)
            continue
        versions[name] = found.version.split("+")[0]
        for asked in ("", *requirement.extras):
            if (name, asked) not in seen:
                seen.add((name, asked))
                todo += [(Requirement(line), asked) for line in found.requires or []]
    return versions


def main() -> None:
    """Print the pins."""
    print("# Exact versions that the tests pass with (Python 3.11, Linux). Made by requirements/pin.py.")
    for name, version in sorted(closure(roots(Path(__file__).parents[1] / "pyproject.toml")).items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
