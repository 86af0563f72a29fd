"""BoundedHead: the lines before a request's body may not be endless; uvicorn's parser itself has no bound.

It is what stands between the network and the gate: a key is looked at once the head is complete.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 64 * 1024
TOO_LONG = b"the head of the request is too long"
REPLY = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(TOO_LONG), TOO_LONG)
)


class TooLongError(Exception):
    """The address, the headers and the trailers of a request are too much together."""


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol; a connection is closed with 431 once a head has more than ``MOST_BYTES``.

    Whole lines are counted as the parser hands them on. A line that never ends is not handed on, and the parser copies
    all it has of it at each arrival: what arrives without any effect is counted as well.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lines = 0  # bytes of address and headers
        self._silent = 0  # bytes that came since the parser has said anything but lines
        self._too_long = False

    def data_received(self, data: bytes) -> None:
        self._silent += len(data)
        super().data_received(data)
        if self._silent > MOST_BYTES and not self.transport.is_closing():
            self._refuse()

    def on_message_begin(self) -> None:
        self._lines = self._silent = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)  # ": " and the line's end
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._silent = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._silent = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        # what a callback raises is an error of the parser's, which ends here
        if self._too_long:
            self._refuse()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._lines += size
        if self._lines > MOST_BYTES:
            self._too_long = True
            raise TooLongError

    def _refuse(self) -> None:
        self.transport.write(REPLY)
        self.transport.close()
