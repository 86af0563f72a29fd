"""A fleet whose workers are no processes: what they load is what a folder of one text file says."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from darl.errors import ModelError
from darl.serving.batcher import Batcher
from darl.serving.facts import ModelFacts
from darl.serving.fleet import Fleet
from darl.serving.link import WorkerDiedError
from darl.serving.metrics import Metrics
from darl.serving.settings import ServeSettings
from darl.serving.version import read_unchanged

FACTS = ModelFacts("", ("bad", "good"), (0.0, 1.0), 64, 4, True, False, "tiny", "float32", "cpu")


class FakeLink:
    """As a worker's link; ``starts`` is asked before each start and ``loads`` in the middle of each load.

    ``told`` is what it was last told to load, and how.
    """

    made: list[FakeLink]
    starts: Callable[[], None]
    loads: Callable[[FakeLink], None]

    def __init__(self) -> None:
        self.facts: ModelFacts | None = None
        self.rate, self.serving, self.signature = 1e4, False, ""
        self.folder: Path | None = None
        self.told: dict[str, Any] = {}
        loop = asyncio.get_running_loop()
        self.ended, self.imported = loop.create_future(), loop.create_future()
        self.imported.set_result(None)
        self.process = SimpleNamespace(pid=0, returncode=-9)

    @classmethod
    async def start(cls) -> FakeLink:
        cls.starts()
        link = cls()
        cls.made.append(link)
        return link

    async def load(self, *, folder: str, known: dict[str, str], **told: Any) -> None:
        self.told = {"folder": folder, **told}

        def read(path: Path) -> str:
            text = (path / "weights").read_text()
            if text == "corrupt":
                raise ModelError("corrupt", where=path, mend="copy it again")
            type(self).loads(self)
            return text

        await asyncio.sleep(0)
        found = read_unchanged(lambda: Path(folder), read, known)
        self.facts = dataclasses.replace(FACTS, version=found.version, backbone=found.model)
        self.folder, self.signature = found.folder, found.signature

    async def score(self, slices: list[dict[str, Any]], timeout: float) -> dict[str, Any]:
        raise WorkerDiedError("it scores nothing")

    def on_end(self, act: Callable[[Any], None]) -> None:
        self.ended.add_done_callback(lambda _: act(self))

    def die(self) -> None:
        self.serving = False
        if not self.ended.done():
            self.ended.set_result(None)

    async def close(self, patience: float = 5.0) -> None:
        self.die()


def put(folder: Path, text: str) -> None:
    """A new model in the folder's place, as a whole."""
    new = folder.with_name("new")
    new.mkdir(parents=True)
    (new / "weights").write_text(text)
    if folder.exists():
        folder.rename(folder.with_name(f"old-{len(list(folder.parent.iterdir()))}"))
    new.rename(folder)


def fleet_of(folder: Path, workers: int = 2, **changes: Any) -> Fleet:
    settings = ServeSettings(model=folder, workers=workers, **{"spare": False} | changes)
    metrics = Metrics()
    return Fleet(settings, Batcher(settings, metrics), metrics)


def alive() -> list[FakeLink]:
    return [link for link in FakeLink.made if not link.ended.done()]


def versions() -> list[str]:
    """What the workers that live have loaded."""
    return [link.facts.backbone if link.facts else "" for link in alive()]


async def until(look: Callable[[], bool]) -> None:
    for _ in range(500):
        if look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")
