"""serve: listen, load, answer, drain; what signals do."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from darl.errors import DarlError, MissingExtraError, ModelError, StorageError
from darl.serving.settings import ServeSettings, load_settings

try:
    import uvicorn

    from darl.serving.app import Service
    from darl.serving.link import WorkerDiedError
    from darl.serving.request_head import BoundedHead
except ImportError as error:
    raise MissingExtraError(
        f"serving needs a package that is not installed ({error.name})", mend="pip install 'darl[serve]'"
    ) from error

log = logging.getLogger("darl.serving")
QUIET_SECONDS = 0.5  # after the last answer: clients read "Connection: close" and leave before the socket goes


def serve(
    model: str | Path | ServeSettings, *, announce: Callable[[str], None] = lambda url: None, **settings: Any
) -> None:
    """Serve a model until SIGTERM or SIGINT.

    Args:
        model: the folder of a model or a run, or complete settings.
        announce: called with the address once it is listened on; the model is still being loaded then.
        settings: as :class:`ServeSettings` has them.

    Raises:
        ModelError: the folder is refused.
        RecipeError: a setting is refused.
        StorageError: the address is taken, or the traffic log cannot be written.

    Serve on another port, with a log of the traffic::

        darl.serve("runs/shop/model", port=9000, traffic_log="traffic")
    """
    found = model if isinstance(model, ServeSettings) else load_settings(model=model, **settings)
    with asyncio.Runner(loop_factory=_fastest_loop()) as runner:
        runner.run(_serve(found, announce))


async def _serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    await _Server(settings, announce).run()


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    return uvloop.new_event_loop


class _Server:
    def __init__(self, settings: ServeSettings, announce: Callable[[str], None]) -> None:
        self.settings, self.announce = settings, announce
        self.service = Service(settings)
        self.stopping = asyncio.Event()
        self._tasks: set[asyncio.Future[None]] = set()  # what nobody awaits must be held, or it may vanish

    async def run(self) -> None:
        with _listening(self.settings) as listener:
            config = uvicorn.Config(
                self.service.gate,
                http=BoundedHead,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_keep_alive=75,  # longer than usual pools of clients keep an idle connection
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=5,
            )
            server = _Uvicorn(config)
            http = asyncio.create_task(server.serve([listener]))
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(name, self.stopping.set)
            loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.add(asyncio.ensure_future(self._reload())))
            host, port = listener.getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log.info("listening", extra={"facts": {"url": url}})
            self.announce(url)
            start = asyncio.create_task(self.service.fleet.start())
            stop = asyncio.create_task(self.stopping.wait())
            try:
                await asyncio.wait({start, stop, http}, return_when=asyncio.FIRST_COMPLETED)
                if start.done():
                    _raise_model_error(start, self.settings)
                    _freeze_what_stays()
                    watch = asyncio.create_task(self._watch())
                    await asyncio.wait({stop, http}, return_when=asyncio.FIRST_COMPLETED)
                    watch.cancel()
                if http.done():
                    http.result()
                await self._drain()
            finally:
                server.should_exit = True
                await asyncio.wait({http}, timeout=10)
                start.cancel()
                stop.cancel()
                await self.service.close()
                log.info("stopped")

    async def _drain(self) -> None:
        """Answer what was accepted; what comes now gets 503."""
        gate = self.service.gate
        gate.draining = True
        log.info("draining", extra={"facts": {"active": gate.active}})
        loop = asyncio.get_running_loop()
        end, quiet = loop.time() + self.settings.drain_seconds, 0.0
        while loop.time() < end and quiet < QUIET_SECONDS:
            await asyncio.sleep(0.05)
            quiet = 0.0 if gate.active else quiet + 0.05
        if gate.active:
            log.warning("requests are given up", extra={"facts": {"active": gate.active}})

    async def _reload(self) -> None:
        with contextlib.suppress(DarlError, WorkerDiedError):  # the fleet has logged it; the old model goes on
            await self.service.fleet.reload()

    async def _watch(self) -> None:
        fleet, seconds = self.service.fleet, self.settings.watch_seconds
        refused: str | None = None
        while seconds is not None:
            await asyncio.sleep(seconds)
            try:
                now = await asyncio.to_thread(fleet.unknown_signature)
                if now is None or now == refused:
                    continue
                await asyncio.sleep(min(seconds, 2.0))
                if await asyncio.to_thread(fleet.unknown_signature) != now:
                    continue  # still being written
                await self._reload()
                refused = await asyncio.to_thread(fleet.unknown_signature)
            except Exception:  # whatever it was, the next model shall be seen
                log.exception("the model folder could not be watched")


class _Uvicorn(uvicorn.Server):
    """Leaves the signals to us: on SIGTERM the requests are answered first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _freeze_what_stays() -> None:
    """Keep what the libraries brought out of garbage collection: each full one would hold up every request."""
    gc.collect()
    gc.freeze()


def _raise_model_error(start: asyncio.Task[None], settings: ServeSettings) -> None:
    try:
        start.result()
    except WorkerDiedError as error:
        raise ModelError(
            f"the process that loads the model ended ({error})", where=settings.model, mend="is the memory enough?"
        ) from error


@contextlib.contextmanager
def _listening(settings: ServeSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise StorageError(
            f"cannot listen there ({error.strerror or error})",
            where=f"{settings.host}:{settings.port}",
            mend="choose another --port or --host",
        ) from error
    with listener:
        yield listener
