"""When a worker's next batch is made: early where its share waits, else after those that were just answered."""

from __future__ import annotations

import asyncio

import pytest
from jumping_clock import run_in_jumps, take_the_loops_clock

from darl.serving import door as module
from darl.serving.door import ENOUGH, LEAD_SECONDS, LINGER_PART, LINGER_SECONDS, QUIET_SECONDS, Door


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    take_the_loops_clock(monkeypatch, module)


class World:
    """What waits, and what waits or is being scored, in tokens; two workers."""

    def __init__(self, waiting: int = 0, all_there_is: int = 0, full: int = 512, free: bool = False) -> None:
        self.waiting, self.all_there_is, self.full, self.free = waiting, all_there_is, full, free

    def door(self) -> Door:
        return Door(lambda: self.waiting, lambda: self.full, lambda: self.all_there_is / 2, lambda: self.free)


def back_after(seconds: float, world: World) -> Door:
    """A door whose worker has just come back from a batch that took so long."""
    door = world.door()
    door.enter(seconds)
    door._begun -= seconds
    door.leave()
    return door


async def seconds_until(door: Door) -> float:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await asyncio.wait_for(door.opens(), 5)
    return loop.time() - begin


def opens_at_once(one: Door) -> bool:
    """Whether it opens without once giving the loop to others."""
    try:
        one.opens().send(None)
    except StopIteration:
        return True
    return False


def test_an_idle_worker_waits_for_nobody() -> None:
    assert opens_at_once(World(waiting=1, all_there_is=800).door())


def test_a_share_that_waits_is_made_a_batch_before_the_worker_is_back() -> None:
    async def run() -> float:
        busy = World(waiting=200, all_there_is=400).door()
        busy.enter(LEAD_SECONDS + 0.02)
        return await seconds_until(busy)

    assert run_in_jumps(run()) == pytest.approx(0.02, abs=1e-6)


def test_a_full_batch_is_as_good_as_a_share() -> None:
    async def run() -> float:
        busy = World(waiting=512, all_there_is=100_000).door()
        busy.enter(0.0)
        return await seconds_until(busy)

    assert run_in_jumps(run()) == pytest.approx(0, abs=1e-6)


def test_a_share_that_comes_while_the_worker_is_late_opens_too() -> None:
    async def run() -> None:
        world = World(waiting=100, all_there_is=400)
        busy = world.door()
        busy.enter(0.0)
        opening = asyncio.create_task(busy.opens())
        await asyncio.sleep(0.01)
        busy.arrived()
        await asyncio.sleep(0.01)
        assert not opening.done(), "half a share"
        world.waiting = 200
        busy.arrived()
        await asyncio.wait_for(opening, 5)

    run_in_jumps(run())


def test_nothing_is_made_for_a_busy_worker_while_another_is_free() -> None:
    async def run() -> None:
        world = World(waiting=512, all_there_is=600, free=True)
        busy = world.door()
        busy.enter(0.0)
        opening = asyncio.create_task(busy.opens())
        busy.arrived()
        await asyncio.sleep(0.02)
        assert not opening.done()
        world.free = False
        busy.arrived()
        await asyncio.wait_for(opening, 5)

    run_in_jumps(run())


def test_a_worker_that_is_back_waits_until_its_share_has_come_again() -> None:
    async def run() -> None:
        world = World(waiting=30, all_there_is=1000)
        back = back_after(60.0, world)
        opening = asyncio.create_task(back.opens())
        for world.waiting in (60, 300, int(ENOUGH * 500) - 1):
            await asyncio.sleep(0.001)
            back.arrived()
            await asyncio.sleep(0.001)
            assert not opening.done(), world.waiting
        world.waiting = int(ENOUGH * 500)
        back.arrived()
        await asyncio.wait_for(opening, 5)

    run_in_jumps(run())


def test_it_goes_once_nothing_has_come_for_a_moment() -> None:
    async def run() -> float:
        back = back_after(1.0, World(waiting=30, all_there_is=1000))
        return await seconds_until(back)

    assert run_in_jumps(run()) == pytest.approx(QUIET_SECONDS, abs=1e-6)


def test_it_goes_after_a_while_however_much_trickles_in() -> None:
    async def run() -> float:
        back = back_after(1.0, World(waiting=30, all_there_is=1000))

        async def trickle() -> None:
            while True:
                await asyncio.sleep(QUIET_SECONDS / 4)
                back.arrived()

        trickling = asyncio.create_task(trickle())
        took = await seconds_until(back)
        trickling.cancel()
        return took

    assert run_in_jumps(run()) == pytest.approx(LINGER_SECONDS, abs=1e-6)


def test_after_a_short_batch_it_waits_for_a_part_of_its_time_alone() -> None:
    async def run() -> None:
        back = back_after(0.01, World(waiting=30, all_there_is=1000))
        opening = asyncio.create_task(back.opens())
        for _ in range(3):
            await asyncio.sleep(0.01 * LINGER_PART / 4)
            back.arrived()
        await asyncio.sleep(0)
        assert not opening.done()
        await asyncio.sleep(0.01 * LINGER_PART / 4)
        assert opens_at_once(back)
        await asyncio.wait_for(opening, 5)

    run_in_jumps(run())


def test_a_lone_client_that_asks_again_and_again_is_not_held_up() -> None:
    world = World(waiting=0, all_there_is=30)
    back = back_after(1.0, world)
    world.waiting = 30
    assert opens_at_once(back)


def test_of_two_batches_about_to_be_made_one_waits_for_the_other() -> None:
    async def run() -> None:
        back = back_after(1.0, World(waiting=30, all_there_is=1000))
        first, second = asyncio.create_task(back.opens()), asyncio.create_task(back.opens())
        await asyncio.sleep(0)
        back.enter(3600.0)  # whoever else was to make this worker's batch has
        await asyncio.sleep(2 * LINGER_SECONDS)
        assert not first.done()
        assert not second.done()
        first.cancel(), second.cancel()

    run_in_jumps(run())


def test_two_batches_at_a_worker_come_back_in_order() -> None:
    async def run() -> None:
        busy = World(waiting=100, all_there_is=100_000).door()
        busy.enter(0.0)
        busy.enter(60.0)
        opening = asyncio.create_task(busy.opens())
        await asyncio.sleep(0.01)
        assert not opening.done()
        busy.leave()
        await asyncio.sleep(0.01)
        assert not opening.done(), "the second is not back"
        assert not busy.free
        busy.leave()
        assert busy.free
        await asyncio.wait_for(opening, 5)

    run_in_jumps(run())
