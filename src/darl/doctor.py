"""doctor: what this machine has and lacks for darl, each finding with its mend."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from darl.cores import usable_cores

Status = Literal["ok", "warn", "fail"]

# the package's name: the module's
NEEDED = {
    "torch": "torch",
    "transformers": "transformers",
    "peft": "peft",
    "accelerate": "accelerate",
    "datasets": "datasets",
    "safetensors": "safetensors",
    "gguf": "gguf",
    "sentencepiece": "sentencepiece",
    "protobuf": "google.protobuf",
    "numpy": "numpy",
    "scipy": "scipy",
    "scikit-learn": "sklearn",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "PyYAML": "yaml",
    "typer": "typer",
    "rich": "rich",
    "ir-measures": "ir_measures",
    "packaging": "packaging",
}
FOR_DEVELOPERS = {"dev", "docs"}  # extras that no verb needs
OLDEST_PYTHON = (3, 11)
GIB = 1024**3
ENOUGH_MEMORY, LITTLE_MEMORY = 8 * GIB, 3 * GIB  # full tuning of the 135M LLM takes about 4 GiB, of an encoder 1
ENOUGH_DISK, LITTLE_DISK = 5 * GIB, 1 * GIB  # a run of the 135M LLM with its checkpoints


@dataclass(frozen=True)
class Check:
    """One finding: ``ok``, ``warn`` (works, but) or ``fail`` (something needed is missing), and its mend."""

    name: str
    status: Status
    detail: str
    mend: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def examine(*, network: bool = False) -> list[Check]:
    """Every check on this machine, needed things first; no check can stop the others.

    Args:
        network: also try the package index and the model hub (seconds each where they are far).
    """
    checks: list[Callable[[], Check | list[Check]]] = [
        python, packages, extras, processors, memory, bfloat16, accelerator, current_folder, cache, backbones, offline,
    ]  # fmt: skip
    if network:
        checks += [package_index, hub]
    found: list[Check] = []
    for check in checks:
        try:
            one = check()
        except Exception as error:  # a doctor who faints helps nobody
            one = Check(
                check.__name__.replace("_", " "), "warn", f"could not be checked: {type(error).__name__}: {error}"
            )
        found += one if isinstance(one, list) else [one]
    return found


def findings_text(checks: Sequence[Check]) -> str:
    """The findings for people, one a line, and under it the mend.

    >>> print(findings_text([Check("disk", "warn", "2 GiB free", "make room")]))
    warn  disk  2 GiB free
                mend: make room
    1 check: 0 ok, 1 warn, 0 fail
    """
    width = max((len(check.name) for check in checks), default=0)
    lines = []
    for check in checks:
        lines.append(f"{check.status:<5} {check.name:<{width}}  {check.detail}")
        if check.mend:
            lines.append(f"{'':<{width + 8}}mend: {check.mend}")
    counts = ", ".join(f"{sum(c.status == s for c in checks)} {s}" for s in ("ok", "warn", "fail"))
    return "\n".join([*lines, f"{len(checks)} check{'s' * (len(checks) != 1)}: {counts}"])


# ---------------------------------------------------------------------------------------------- software


def python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", "fail", f"{found}, 3.11 or newer is needed", "make the environment with a newer Python")
    return Check("python", "ok", f"{found} at {sys.executable}")


def packages() -> list[Check]:
    """Every needed package: installed, new enough, and importable."""
    wanted, found, right = _wanted_versions(), [], []
    for package, module in NEEDED.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found.append(Check(package, "fail", "is not installed", f"pip install {package}"))
            continue
        spec = wanted.get(package.lower())
        if spec is not None and not spec.contains(version, prereleases=True):
            found.append(Check(package, "fail", f"{version}, {spec} is needed", f"pip install '{package}{spec}'"))
            continue
        try:
            importlib.import_module(module)
        except Exception as error:
            found.append(
                Check(
                    package,
                    "fail",
                    f"{version} cannot be imported: {error}",
                    f"pip install --force-reinstall {package}",
                )
            )
            continue
        right.append(f"{package} {version}")
    shown = ", ".join(entry for entry in right if entry.split()[0] in ("torch", "transformers", "peft", "datasets"))
    return [
        Check("packages", "ok" if not found else "warn", f"{len(right)} of {len(NEEDED)} in order: {shown}"),
        *found,
    ]


def extras() -> list[Check]:
    """Of each extra that a verb may need, what is not installed."""
    found, wanted = [], map(Requirement, importlib.metadata.requires("darl") or [])
    parts = [(extra_of(part), part.name) for part in wanted if part.marker is not None]
    for extra in sorted({extra for extra, _ in parts if extra} - FOR_DEVELOPERS):
        missing = [name for of, name in parts if of == extra and not is_installed(name)]
        detail = f"not installed: {', '.join(missing)} (optional)" if missing else "installed"
        found.append(Check(f"extra {extra}", "ok", detail, f"pip install 'darl[{extra}]'" if missing else None))
    return found


def extra_of(part: Requirement) -> str | None:
    """The extra that a requirement belongs to; None where it is nobody's, or not for this machine.

    >>> extra_of(Requirement("uvloop; extra == 'serve'")), extra_of(Requirement("torch; python_version > '3'"))
    ('serve', None)
    """
    named = re.search(r"""extra\s*==\s*["']([^"']+)["']""", str(part.marker or ""))
    return named[1] if named and part.marker and part.marker.evaluate({"extra": named[1]}) else None


def is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def offline() -> Check:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        detail = "HF_HUB_OFFLINE is set: only embedded and local backbones, and what the hub cache holds"
        return Check("hub offline", "ok", detail, "unset HF_HUB_OFFLINE to use hub names")
    return Check("hub offline", "ok", "HF_HUB_OFFLINE is not set: hub names may be used")


# ----------------------------------------------------------------------------------------------- machine


def processors() -> Check:
    import torch

    usable = usable_cores()
    threads = torch.get_num_threads()
    detail = f"{usable} cores for this process, torch uses {threads} threads"
    if threads > usable:
        return Check("processors", "warn", detail, f"set OMP_NUM_THREADS={usable}: more threads than cores are slow")
    return Check("processors", "ok", detail)


def memory() -> Check:
    total = _memory()
    detail = f"{total / GIB:.1f} GiB"
    if total < LITTLE_MEMORY:
        return Check("memory", "warn", detail, "use minilm-l6, a small tune.batch_size, and no large backbone")
    if total < ENOUGH_MEMORY:
        return Check("memory", "ok", f"{detail}: enough for the embedded encoders; lower tune.batch_size for the LLM")
    return Check("memory", "ok", detail)


def bfloat16() -> Check:
    import torch

    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    probes = [probe for name in names if (probe := getattr(torch.cpu, name, None)) is not None]
    if any(probe() for probe in probes):
        return Check("bfloat16", "ok", "the processor computes it natively; precision: auto uses it")
    return Check("bfloat16", "ok", "not native on this processor; precision: auto uses float32")


def accelerator() -> Check:
    import torch

    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return Check("GPU", "ok", ", ".join(f"{card.name} ({card.total_memory / GIB:.0f} GiB)" for card in cards))
    if torch.backends.mps.is_available():
        return Check("GPU", "ok", "Apple MPS; name it with --device mps")
    built = "this torch is built without CUDA" if torch.version.cuda is None else "torch has CUDA but sees no GPU"
    return Check("GPU", "ok", f"none ({built}): the embedded backbones train on a CPU in minutes")


def current_folder() -> Check:
    return _room("current folder", Path.cwd(), "start darl where you may write, or give --run", needed=False)


# --------------------------------------------------------------------------------------------- backbones


def cache() -> Check:
    from darl.model.embedded import cache_root

    return _room("cache", cache_root(), "set DARL_CACHE to a folder that you may write", needed=True)


def backbones() -> Check:
    from darl.model.embedded import EMBEDDED, cache_root
    from darl.model.embedded.unpack import is_complete

    here = [name for name in EMBEDDED if is_complete(cache_root() / "backbones" / name)]
    away = [name for name in EMBEDDED if name not in here]
    detail = f"in the cache: {', '.join(here) or 'none'}" + (f"; not yet: {', '.join(away)}" if away else "")
    return Check("backbones", "ok", detail, f"darl backbones fetch {' '.join(away)}" if away else None)


def package_index() -> Check:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    with tempfile.TemporaryDirectory() as scratch:  # a tiny package, to see that downloads work and not only the name
        done = subprocess.run([*command, scratch, "iniconfig"], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 0:
        return Check("package index", "ok", "pip can download from it")
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    mend = "check the network and pip's index settings; or copy the cache folder from a machine that has the backbones"
    return Check("package index", "warn", f"pip cannot download: {last}", mend)


def hub() -> Check:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urlopen(address, timeout=10).close()
    except HTTPError:
        pass  # it answered
    except OSError as error:
        mend = "not needed: use embedded or local backbones and HF_HUB_OFFLINE=1"
        return Check("model hub", "warn", f"{address} cannot be reached: {error}", mend)
    return Check("model hub", "ok", f"{address} answers")


def _room(name: str, folder: Path, mend: str, *, needed: bool) -> Check:
    """Whether a folder (or the nearest one above it that exists) can be written, and how much room it has."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Check(name, "fail" if needed else "warn", f"{folder} cannot be written: {error.strerror}", mend)
    free = shutil.disk_usage(existing).free
    detail = f"{folder}, {free / GIB:.0f} GiB free"
    if free < LITTLE_DISK:
        return Check(
            name, "fail" if needed else "warn", detail, "make room: a backbone needs up to 0.6 GiB, a run more"
        )
    if free < ENOUGH_DISK:
        return Check(name, "warn", detail, "make room: a run with checkpoints takes a few GiB")
    return Check(name, "ok", detail)


def _memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(limit).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no container, or "max"
            continue
    return total


def _wanted_versions() -> dict[str, Any]:
    """The version each needed package must have, as the installed darl says."""
    try:
        requirements = importlib.metadata.requires("darl") or []
    except importlib.metadata.PackageNotFoundError:  # run from its source
        return {}
    parsed = [Requirement(line) for line in requirements]
    return {one.name.lower(): one.specifier for one in parsed if one.marker is None}
