"""Asking all questions: several at a time, each answer kept, each unreadable one asked for again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from darl.labelling.judge.cache import AnswerCache, Stored
from darl.labelling.judge.endpoint import ChatEndpoint, GaveUpError, PairRefusedError
from darl.labelling.judge.parsing import Reading, read_answer
from darl.labelling.judge.problems import KEPT, BudgetError, RequestRefusedError, UnreachableError
from darl.labelling.judge.prompt import GradePrompt
from darl.labelling.judge.questions import Question
from darl.labelling.judge.settings import JudgeSettings
from darl.labelling.judge.spending import Spending, message_tokens

REFUSED_AT_FIRST = 3  # pairs refused before any was answered: then it is the requests, not the pairs
FAILED_IN_A_ROW = 5  # requests given up with no answer between: then it is the endpoint, not the pairs
T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    """What came of one question: a reading (with its problem where nothing could be read), and when."""

    pair: int
    sample: int
    reading: Reading
    created: float = 0.0


class Asker:
    """Asks questions of an endpoint, with a cache before it and a budget around it."""

    def __init__(
        self,
        endpoint: ChatEndpoint,
        prompt: GradePrompt,
        settings: JudgeSettings,
        cache: AnswerCache,
        spending: Spending,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self.endpoint, self.prompt, self.settings = endpoint, prompt, settings
        self.cache, self.spending, self.progress = cache, spending, progress
        self._failed = 0
        self._out_of_money: BudgetError | None = None

    async def ask_all(self, wanted: Iterator[Question], records: Sequence[dict[str, Any]]) -> list[Verdict]:
        """The verdicts, in no order; the first question goes alone, so that the form of the requests is found once.

        Raises:
            JudgeError: the endpoint or the budget ends the job; the answers so far are in the cache.
        """
        found: list[Verdict] = []
        refused: list[str] = []
        self.spending.begin()
        async with self.endpoint:
            while not self.endpoint.answered and (question := next(wanted, None)) is not None:
                try:
                    found.append(await self._verdict(question, records[question.pair]))
                except PairRefusedError as error:
                    refused.append(str(error))
                    self.endpoint.forget_form()
                    found.append(Verdict(question.pair, question.sample, Reading(problem=f"refused: {error}")))
                if len(refused) >= REFUSED_AT_FIRST:
                    raise RequestRefusedError(
                        f"it refuses every request, at last with {refused[-1]}",
                        where=self.endpoint.settings.shown,
                        mend="see what it asks for; --answer text sends the plainest request",
                    )
                self.progress(1)
            several = range(self.settings.concurrency)
            workers = [asyncio.create_task(self._work(wanted, records, found)) for _ in several]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        if self._out_of_money is not None:
            raise self._out_of_money
        return found

    async def _work(self, wanted: Iterator[Question], records: Sequence[dict[str, Any]], found: list[Verdict]) -> None:
        for question in wanted:
            try:
                found.append(await self._verdict(question, records[question.pair]))
            except PairRefusedError as error:
                found.append(Verdict(question.pair, question.sample, Reading(problem=f"refused: {error}")))
            except BudgetError as error:
                self._out_of_money = error
            if self._out_of_money is not None:
                return  # answers on their way are paid for: they may still come
            self.progress(1)

    async def _verdict(self, question: Question, record: dict[str, Any]) -> Verdict:
        stored = self.cache.get(question.key)
        reading, created = Reading(problem="not asked"), 0.0
        for attempt in range(self.settings.tries):
            if attempt >= len(stored):
                try:
                    stored.append(await self._ask(question, record, attempt))
                except GaveUpError as error:
                    self._failed += 1
                    if self._failed >= FAILED_IN_A_ROW:
                        raise UnreachableError(
                            f"it failed {self._failed} requests in a row, at last: {error}",
                            where=self.endpoint.settings.shown,
                            mend=f"see to the endpoint; {KEPT}",
                        ) from error
                    reading = Reading(problem=f"failed: {error}")
                    break
                self._failed = 0
            reply, created = stored[attempt].reply, stored[attempt].created
            reading = read_answer(reply.content, self.prompt.scale, finish=reply.finish)
            if reading.grade is not None:
                break
        return Verdict(question.pair, question.sample, reading, created)

    async def _ask(self, question: Question, record: dict[str, Any], attempt: int) -> Stored:
        messages = self.prompt.messages(record, attempt)
        guess = message_tokens(messages)
        reserved = await self.spending.reserve(guess)
        reply = None
        try:
            reply = await self.endpoint.ask(messages)
            return self.cache.put(question.key, attempt, reply)
        finally:
            await self.spending.settle(reserved, guess, reply)


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, in a notebook too, where a loop runs already; Ctrl+C cancels it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="darl-judge", daemon=True)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    finally:
        future.cancel()
        asyncio.run_coroutine_threadsafe(_others(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _others() -> None:
    """Waits until every other task of the loop is over."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*tasks, return_exceptions=True)
