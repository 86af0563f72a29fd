"""When a worker's next batch is made: early where there is much for it, else after those that were just answered."""

from __future__ import annotations

import asyncio
import time

from darl.serving.door import LEAD_SECONDS, LINGER_SECONDS, Door


async def seconds_until(door: Door) -> float:
    begin = time.monotonic()
    await door.opens()
    return time.monotonic() - begin


def door(waiting: int, full: int = 512) -> Door:
    return Door(lambda: waiting, lambda: full)


def opens_at_once(one: Door) -> bool:
    """Whether it opens without once giving the loop to others."""
    try:
        one.opens().send(None)
    except StopIteration:
        return True
    return False


def test_an_idle_worker_waits_for_nobody() -> None:
    assert opens_at_once(door(waiting=1))


def test_much_that_waits_is_made_a_batch_before_the_worker_is_back() -> None:
    async def run() -> float:
        busy = door(waiting=256)
        busy.enter(LEAD_SECONDS + 0.02)
        return await asyncio.wait_for(seconds_until(busy), 5)

    assert 0.015 < asyncio.run(run()) < 4


def test_little_that_waits_is_held_until_the_worker_is_back_and_for_those_it_answered() -> None:
    async def run() -> float:
        waiting = 20
        busy = Door(lambda: waiting, lambda: 512)
        busy.enter(LEAD_SECONDS + 0.001)
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, busy.leave, 300)
        took = await asyncio.wait_for(seconds_until(busy), 5)
        assert took > 0.045 + LINGER_SECONDS  # 20 are less than half of the 300 that came back
        busy.enter(LEAD_SECONDS + 0.001)
        loop.call_later(0.05, busy.leave, 30)
        return await asyncio.wait_for(seconds_until(busy), 5)

    assert 0.045 < asyncio.run(run()) < 4  # 20 are more than half of 30: no need to linger


def test_it_lingers_for_a_moment_only_and_not_at_all_once_enough_wait() -> None:
    async def run() -> None:
        waiting = 0
        back = Door(lambda: waiting, lambda: 512)
        back.enter(0.001)
        back.leave(400)
        begin = time.monotonic()
        lingering = asyncio.create_task(back.opens())
        await asyncio.sleep(0)
        waiting = 250
        await lingering
        assert time.monotonic() - begin < 1  # it looked again, and did not wait for more
        back.enter(0.001)
        back.leave(400)
        waiting = 0
        assert LINGER_SECONDS * 0.9 <= await seconds_until(back) < 1

    asyncio.run(run())


def test_a_lone_client_that_asks_again_and_again_is_not_held_up() -> None:
    back = door(waiting=30)
    back.enter(10.0)
    back.leave(30)
    assert opens_at_once(back)


def test_two_batches_at_a_worker_come_back_in_order() -> None:
    async def run() -> None:
        busy = door(waiting=512)
        busy.enter(0.0)
        busy.enter(60.0)
        opening = asyncio.create_task(busy.opens())
        await asyncio.sleep(0.01)
        assert not opening.done()
        busy.leave(512)
        await asyncio.sleep(0.01)
        assert not opening.done(), "the second is not back"
        busy.leave(512)
        await asyncio.wait_for(opening, 5)

    asyncio.run(run())
