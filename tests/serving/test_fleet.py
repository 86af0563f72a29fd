"""The fleet is of one model, knows which, and heals whatever the machine refuses for a while."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from fake_fleet import FakeLink, alive, fleet_of, put, until, versions

from darl.errors import ModelError
from darl.serving import fleet as module
from darl.serving.link import WorkerDiedError, WorkerLink
from darl.serving.server import _Server
from darl.serving.settings import ServeSettings
from darl.serving.version import TRIES, model_version, read_unchanged, signature


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WorkerLink", FakeLink)
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.0, 0.01))
    FakeLink.made, FakeLink.starts, FakeLink.loads = [], staticmethod(lambda: None), staticmethod(lambda _: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "model", "one")
    return tmp_path / "model"


def refuse_starts(times: int) -> None:
    """The machine gives no process so many times."""
    left = [times]

    def starts() -> None:
        if left[0]:
            left[0] -= 1
            raise WorkerDiedError("no process could be started")

    FakeLink.starts = staticmethod(starts)


# ------------------------------------------------------------------------------------------- one model


def test_a_worker_that_dies_after_a_new_model_came_takes_the_others_with_it(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 3)
        await fleet.start()
        first = fleet.facts
        assert versions() == ["one"] * 3
        put(folder, "two")
        alive()[0].die()
        await until(lambda: versions() == ["two"] * 3)
        assert fleet.facts is not None
        assert fleet.facts != first
        assert fleet.ready
        assert fleet.unknown_signature() is None
        assert b'darl_reloads_total{outcome="done"} 1.0' in fleet.metrics.text()
        assert b"darl_workers 3.0" in fleet.metrics.text()

    asyncio.run(run())


def test_a_worker_is_told_what_the_settings_say(folder: Path) -> None:
    async def run() -> None:
        settings = {"dtype": "bfloat16", "prefix_cache_mb": 0, "device": "cpu", "threads": 3, "batch_tokens": 77}
        fleet = fleet_of(folder, 2, **settings, ood="never", nearest=True)
        await fleet.start()
        expected = {"folder": str(folder), **settings, "ood": False, "nearest": True}
        assert [link.told for link in alive()] == [expected] * 2
        await fleet.reload()
        assert alive()[-1].told == expected

    asyncio.run(run())


def test_a_worker_that_dies_is_replaced_alone_where_the_model_is_the_same(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 2)
        await fleet.start()
        stays = alive()[1]
        alive()[0].die()
        await until(lambda: versions() == ["one"] * 2)
        assert stays in alive()
        assert len(FakeLink.made) == 3

    asyncio.run(run())


def test_a_corrupt_model_that_came_before_a_death_costs_that_worker_alone(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 2)
        await fleet.start()
        put(folder, "corrupt")
        alive()[0].die()
        await until(lambda: len(FakeLink.made) > 4)
        assert "one" in versions()
        assert fleet.ready
        put(folder, "two")
        await until(lambda: versions() == ["two"] * 2)

    asyncio.run(run())


def test_workers_that_read_different_models_read_again(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 2)
        loads: list[FakeLink] = []

        def swap_between(link: FakeLink) -> None:
            loads.append(link)
            if len(loads) == 2:  # the first has its model already; this one reads the new one, once it sees the swap
                put(folder, "two")

        FakeLink.loads = staticmethod(swap_between)
        await fleet.start()
        assert versions() == ["two"] * 2
        assert len(FakeLink.made) == 2

    asyncio.run(run())


def test_a_folder_that_never_rests_is_refused_and_no_worker_is_left(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 2)
        count = iter(range(100))
        FakeLink.loads = staticmethod(lambda _: put(folder, f"another {next(count)}"))
        with pytest.raises(ModelError, match="changes while it is loaded"):
            await fleet.start()
        assert not alive()

    asyncio.run(run())


# ------------------------------------------------------------------------------------------ what is known


def test_a_model_that_comes_while_another_is_loaded_is_the_one_that_serves(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 1)
        swaps = iter([True])
        FakeLink.loads = staticmethod(lambda _: put(folder, "two") if next(swaps, False) else None)
        await fleet.start()
        assert versions() == ["two"]
        assert fleet.unknown_signature() is None
        assert fleet.facts is not None
        assert fleet.facts.version == model_version(folder, {})

    asyncio.run(run())


def test_a_model_that_comes_right_after_the_load_is_seen(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 1)
        load = fleet._load

        async def load_and_swap(worker: Any) -> None:
            await load(worker)
            put(folder, "two")

        fleet._load = load_and_swap  # type: ignore[method-assign]
        await fleet.start()
        assert versions() == ["one"]
        assert fleet.unknown_signature() == signature(folder)
        fleet._load = load  # type: ignore[method-assign]
        await fleet.reload()
        assert versions() == ["two"]
        assert fleet.unknown_signature() is None

    asyncio.run(run())


def test_a_folder_is_read_again_only_where_it_changed(folder: Path) -> None:
    reads: list[Path] = []

    def fail(path: Path) -> None:
        reads.append(path)
        raise ModelError("corrupt", where=path, mend="copy it again")

    with pytest.raises(ModelError, match="corrupt"):
        read_unchanged(lambda: folder, fail, {})
    assert len(reads) == 1

    def fail_and_swap(path: Path) -> str:
        reads.append(path)
        if len(reads) == 2:
            put(folder, "two")
            raise ModelError("half of one and half of the other", where=path, mend="")
        return (path / "weights").read_text()

    found = read_unchanged(lambda: folder, fail_and_swap, {})
    assert (found.model, found.signature, found.version) == ("two", signature(folder), model_version(folder, {}))
    assert len(reads) == 3

    count = iter(range(TRIES))
    with pytest.raises(ModelError, match="changes while it is loaded"):
        read_unchanged(lambda: folder, lambda _: put(folder, f"another {next(count)}"), {})
    with pytest.raises(StopIteration):
        next(count)


# ------------------------------------------------------------------------------------- a machine that refuses


def test_healing_goes_on_where_no_process_can_be_started_for_a_while(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 2)
        await fleet.start()
        refuse_starts(3)
        alive()[0].die()
        await until(lambda: versions() == ["one"] * 2)

    asyncio.run(run())


def test_a_reload_that_gets_too_few_processes_leaves_none_behind(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 2)
        await fleet.start()
        before = alive()
        starts = iter([True, False])

        def second_fails() -> None:
            if not next(starts):
                raise WorkerDiedError("no process could be started")

        FakeLink.starts = staticmethod(second_fails)
        with pytest.raises(WorkerDiedError):
            await fleet.reload()
        assert len(FakeLink.made) == 3
        assert alive() == before
        assert fleet.ready

    asyncio.run(run())


def test_a_machine_without_processes_is_a_worker_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    async def run() -> None:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", none)
        with pytest.raises(WorkerDiedError, match="temporarily unavailable"):
            await WorkerLink.start()

    asyncio.run(run())


def test_a_spare_that_cannot_be_started_is_done_without(folder: Path) -> None:
    async def run() -> None:
        fleet = fleet_of(folder, 1, spare=True)
        starts = iter([True, False])

        def only_the_first() -> None:
            if not next(starts, True):
                raise WorkerDiedError("no process could be started")

        FakeLink.starts = staticmethod(only_the_first)
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        await fleet.start()
        await until(lambda: not fleet._tasks)
        await fleet.reload()
        assert versions()[-1] == "one"
        await fleet.close()
        assert not errors

    asyncio.run(run())


def test_the_folder_is_watched_on_after_a_defect(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        server = _Server(ServeSettings(model=folder, watch_seconds=0.01, workers=1, spare=False), lambda _: None)
        fleet = server.service.fleet
        await fleet.start()
        put(folder, "two")
        real, failed = fleet.unknown_signature, iter([True])

        def fail_once() -> str | None:
            if next(failed, False):
                raise RuntimeError("no thread could be started")
            return real()

        monkeypatch.setattr(fleet, "unknown_signature", fail_once)
        watch = asyncio.create_task(server._watch())
        await until(lambda: versions() == ["two"])
        watch.cancel()

    asyncio.run(run())
