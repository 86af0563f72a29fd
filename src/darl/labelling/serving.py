"""Running the page: the address, the access key, and uvicorn until it is told to stop."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

from darl.errors import MissingExtraError
from darl.labelling.page import label_app
from darl.labelling.problems import LabellingError
from darl.labelling.project import Project

try:
    import uvicorn
except ImportError as error:
    raise MissingExtraError(
        "the labelling page needs the package uvicorn", where="darl label", mend="pip install 'darl[label]'"
    ) from error


@dataclass(frozen=True)
class Address:
    """Where a page is served: its host, port, and access key (None on this machine alone)."""

    host: str
    port: int
    key: str | None

    @property
    def url(self) -> str:
        """What to open; the key stands behind ``#`` and so never in a request line or a log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"#key={self.key}" if self.key else "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve_page(
    project: Project,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    key: str | None = None,
    ready: Callable[[Address], None] | None = None,
) -> None:
    """Serves the page until SIGINT or SIGTERM.

    Args:
        project: what is labelled.
        host: the address to listen on. Where others can reach it, an access key is needed, and made when none is given.
        port: 0 takes a free one.
        key: the access key.
        ready: called once the port is open.

    Raises:
        LabellingError: the address cannot be listened on.
    """
    if key is None and not is_loopback(host):
        key = secrets.token_urlsafe(12)
    with _listening(host, port) as bound:
        address = Address(host, bound.getsockname()[1], key)
        hosts = ["127.0.0.1", "localhost", "[::1]", host] if is_loopback(host) else None
        app = label_app(project, key=key, hosts=hosts)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
        server = _Server(config, lambda: ready(address) if ready is not None else None)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn shuts down in order and raises it then
            server.run(sockets=[bound])


class _Server(uvicorn.Server):
    """Says that it is ready once it can also be stopped in order."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _listening(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        bound = socket.socket(found[0], found[1])
    except OSError as error:
        raise LabellingError(f"no such address: {error}", where=host, mend="give an address of this machine") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(found[4])
        bound.listen(128)
    except OSError as error:
        bound.close()
        taken = error.errno == errno.EADDRINUSE
        what = "another program listens there" if taken else f"it cannot be listened on ({error.strerror})"
        mend = "choose another with --port, or 0 for any free one" if taken else "choose another --host or --port"
        raise LabellingError(what, where=f"{host}:{port}", mend=mend) from error
    return bound
