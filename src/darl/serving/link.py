"""WorkerLink: the server's end of one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from darl.errors import ModelError
from darl.serving.facts import ModelFacts
from darl.serving.frames import pack, read_async

COMMAND = [sys.executable, "-m", "darl.serving.worker"]


class WorkerDiedError(Exception):
    """The worker ended, or was ended because it hung, before it answered."""


class WorkerLink:
    """One worker: started, told what to load, asked to score, and noticed when it dies.

    Attributes:
        facts: the loaded model, or None. rate: tokens a second that its probe reached.
        folder: what it was read from. signature: of that folder as it was read.
        serving: it takes work: loaded, not dying, not retired.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.facts: ModelFacts | None = None
        self.rate = 0.0
        self.folder: Path | None = None
        self.signature = ""
        self.serving = False
        self.imported: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._heard = 0.0  # when it last said something, by the loop's clock
        self._numbers = itertools.count()
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls) -> WorkerLink:
        """A new process, which begins to import its libraries.

        Raises:
            WorkerDiedError: the machine gives none, as where its memory or its number of processes is used up.
        """
        # Arenas of malloc's that are never given back would let the memory creep up for days.
        environment = {"MALLOC_ARENA_MAX": "2", "TOKENIZERS_PARALLELISM": "false", **os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment
            )
        except OSError as error:
            raise WorkerDiedError(f"no process could be started ({error.strerror or error})") from error
        return cls(process)

    async def load(self, **message: Any) -> None:
        """Load a folder and score a probe with it.

        Raises:
            ModelError: the folder is refused.
            WorkerDiedError: the process ended meanwhile.
        """
        await self._or_end(self.imported)
        reply = await self._ask({"op": "load", **message})
        if "error" in reply:
            error = reply["error"]
            raise ModelError(error["what"], where=error["where"], mend=error["mend"] or "copy or fit it again")
        self.facts, self.rate = ModelFacts.from_dict(reply["facts"]), reply["rate"]
        self.folder, self.signature = Path(reply["folder"]), reply["signature"]

    async def score(self, slices: list[dict[str, Any]], timeout: float) -> dict[str, Any]:
        """The outcomes of the slices, and the seconds they took.

        Raises:
            WorkerDiedError: the process ended, or was silent for ``timeout`` seconds and was ended. What stands at its
                door behind another batch waits from that one's answer on.
        """
        loop = asyncio.get_running_loop()
        answer, begin = asyncio.ensure_future(self._ask({"op": "score", "slices": slices})), loop.time()
        try:
            while (left := max(begin, self._heard) + timeout - loop.time()) > 0:
                await asyncio.wait({answer}, timeout=left)
                if answer.done():
                    return answer.result()
        finally:
            answer.cancel()
        self.kill()
        raise WorkerDiedError(f"no answer within {timeout:.0f} s")

    def on_end(self, act: Callable[[WorkerLink], None]) -> None:
        """Call ``act`` once the process has ended."""
        self.ended.add_done_callback(lambda _: act(self))

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def close(self, patience: float = 5.0) -> None:
        """Let the process finish what it has and leave; kill it after ``patience`` seconds."""
        self.serving = False
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(asyncio.shield(self.ended), patience)
        except TimeoutError:
            self.kill()
            await self.ended

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.ended.done() or self.process.stdin is None:
            raise WorkerDiedError("the worker has ended")
        number = next(self._numbers)
        answer = self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            with contextlib.suppress(ConnectionError):  # it died: the reader says so
                self.process.stdin.write(pack({"id": number, **message}))
                await self.process.stdin.drain()
            return await answer
        finally:
            self._pending.pop(number, None)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while (message := await read_async(self.process.stdout)) is not None:
                self._heard = asyncio.get_running_loop().time()
                if message.get("event") == "imported":
                    if not self.imported.done():
                        self.imported.set_result(None)
                    continue
                answer = self._pending.get(message["id"])
                if answer is not None and not answer.done():
                    answer.set_result(message)
        finally:
            self.serving = False
            self.kill()  # a closed output with a living process would be a worker that nobody hears
            code = await self.process.wait()
            for answer in list(self._pending.values()):
                if not answer.done():
                    answer.set_exception(WorkerDiedError(f"the worker ended with code {code}"))
            if not self.ended.done():
                self.ended.set_result(None)

    async def _or_end(self, awaited: asyncio.Future[None]) -> None:
        await asyncio.wait({awaited, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        if not awaited.done():
            raise WorkerDiedError("the worker ended while it started")
