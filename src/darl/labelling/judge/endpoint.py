"""The client of a chat-completions endpoint: one question in, one answer out, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from darl.errors import MissingExtraError
from darl.labelling.judge.dialect import Dialect
from darl.labelling.judge.problems import (
    KEPT,
    JudgeError,
    KeyRefusedError,
    NoSuchModelError,
    QuotaError,
    RequestRefusedError,
    UnreachableError,
)
from darl.labelling.judge.prompt import Message
from darl.labelling.judge.settings import JudgeSettings
from darl.labelling.judge.waiting import asked_wait, backoff
from darl.pairs import clean_text

try:
    import httpx
except ImportError as error:
    raise MissingExtraError(
        "the judge needs the package httpx", where="darl judge", mend="pip install 'darl[judge]'"
    ) from error

log = logging.getLogger(__name__)

LONGEST_PAUSE = 300.0  # an endpoint that wants a longer one is not waited for
_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529}
_FORM = {400, 413, 415, 422, 501}
_NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


@dataclass(frozen=True)
class Reply:
    """An answer as it came; tokens are None where the endpoint does not count them."""

    content: str
    finish: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class PairRefusedError(Exception):
    """The endpoint refuses this pair: too long for the model, or caught by a filter."""


class GaveUpError(Exception):
    """Every attempt at this request failed on the way."""


class ChatEndpoint:
    """Asks one endpoint; use as an asynchronous context manager.

    Until its first answer it learns which form of a request the endpoint takes (:class:`Dialect`), so the first
    question is to be asked alone. All requests together wait where the endpoint limits their rate.

    Args:
        settings: where, whom, and how patiently.
        schema: the JSON schema of answers.
        key: sent as ``Authorization: Bearer``; shown nowhere.
        sleep: replaces the clock in tests.

    Attributes:
        dialect: the form of a request.
        answered: how many requests were answered.
        retried: how many attempts failed on the way.
    """

    def __init__(
        self,
        settings: JudgeSettings,
        schema: dict[str, Any],
        *,
        key: str | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self.settings, self.schema = settings, schema
        self.dialect = Dialect.first(settings)
        self.answered = self.retried = 0
        self._key, self._sleep, self._draw = _checked_key(key), sleep, random.Random()
        self._pause_until = 0.0
        self._client: httpx.AsyncClient | None = None
        self._short_address = _ShortAddress(settings.shown)

    async def __aenter__(self) -> ChatEndpoint:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        limits = httpx.Limits(max_connections=self.settings.concurrency)
        logging.getLogger("httpx").addFilter(self._short_address)
        self._client = httpx.AsyncClient(headers=headers, timeout=self.settings.timeout, limits=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        logging.getLogger("httpx").removeFilter(self._short_address)
        if self._client is not None:
            await self._client.aclose()

    def forget_form(self) -> None:
        """Begins anew with the fullest form: the pair was refused, not the form."""
        self.dialect = Dialect.first(self.settings)

    async def ask(self, messages: list[Message]) -> Reply:
        """The answer to one question.

        Raises:
            PairRefusedError: no answer for this pair. GaveUpError: every attempt failed.
            JudgeError: the endpoint answers nobody: see :mod:`darl.labelling.judge.problems`.
        """
        attempt, trouble = 0, ""
        while attempt <= self.settings.retries:
            if attempt:
                self.retried += 1
            await self._paused()
            dialect = self.dialect
            try:
                response = await self._post(dialect.body(self.settings, messages, self.schema))
            except httpx.ConnectError as error:
                trouble, wait = f"nothing answers ({_named(error)})", None
                if not self.answered and attempt:  # a slip in the address is not worth minutes
                    raise UnreachableError(
                        trouble, where=self.settings.shown, mend="start it, or mend the address"
                    ) from error
            except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
                trouble, wait = f"the connection failed ({_named(error)})", None
            else:
                reply = _reply(response) if response.is_success else None
                if reply is not None:
                    self.answered += 1
                    return reply
                if response.is_success:
                    trouble, wait = f"what it sent is no chat completion: {self._said(response)}", None
                else:
                    if response.status_code in _FORM and self._other_form(dialect, response):
                        continue
                    self._raise_if_final(response)
                    trouble = f"HTTP {response.status_code}: {self._said(response)}"
                    wait = self._asked(response)
            await self._wait(attempt, wait)
            attempt += 1
        raise GaveUpError(f"{trouble} (in {attempt} attempts)")

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        assert self._client is not None, "use it as a context manager"
        async with asyncio.timeout(self.settings.timeout):  # httpx's own timeout starts anew with every byte
            return await self._client.post(self.settings.url, content=json.dumps(body).encode("ascii"))

    async def _paused(self) -> None:
        clock = asyncio.get_running_loop().time
        while (left := self._pause_until - clock()) > 0:
            await self._sleep(left + self._draw.uniform(0, 0.1))

    async def _wait(self, attempt: int, asked: float | None) -> None:
        if attempt >= self.settings.retries:
            return
        pause = backoff(attempt, self._draw)
        if asked is not None:  # all requests wait, for the limit is theirs together
            self._pause_until = max(self._pause_until, asyncio.get_running_loop().time() + asked)
            pause = min(pause, 1.0)
        await self._sleep(pause)

    def _asked(self, response: httpx.Response) -> float | None:
        asked = asked_wait(response.headers)
        if asked is not None and asked > LONGEST_PAUSE:
            raise QuotaError(
                f"it asks to wait {asked / 60:,.0f} minutes: {self._said(response)}",
                where=self.settings.shown,
                mend=f"start again then; {KEPT}",
            )
        return asked

    def _other_form(self, dialect: Dialect, response: httpx.Response) -> bool:
        """Whether another form of the request is worth a try; nothing was answered yet."""
        if self.answered:
            return False
        other = dialect.next(self._said(response))
        if other is None:
            return False
        log.info("the endpoint refuses this form (%s); next: %s", self._said(response), other.to_text())
        self.dialect = other
        return True

    def _raise_if_final(self, response: httpx.Response) -> None:
        status, said, where = response.status_code, self._said(response), self.settings.shown
        told = f"HTTP {status}: {said}"
        if status == 401 or (status == 403 and not self.answered):
            mend = "put a valid key into the environment variable that --key-env names"
            raise KeyRefusedError(f"the key is refused, or needed and missing ({told})", where=where, mend=mend)
        if status in (404, 405, 410):
            mend = f"check the address and the model's name, {self.settings.model!r}"
            raise NoSuchModelError(f"there is no such address or model ({told})", where=where, mend=mend)
        if status == 402 or (status == 429 and _code(response) in _NO_CREDIT):
            raise QuotaError(f"the credit is used up ({told})", where=where, mend=f"top it up; {KEPT}")
        if response.is_redirect:
            mend = "give the address that it points to; a key is never sent along a redirect"
            raise RequestRefusedError(f"it redirects elsewhere (HTTP {status})", where=where, mend=mend)
        if status not in _AGAIN:
            raise PairRefusedError(told)

    def _said(self, response: httpx.Response) -> str:
        """What an error says, in one short line that holds no key."""
        error = _error(response)
        text = error.get("message") or error.get("detail") or response.text
        line = " ".join(str(text).split())[:300] or "nothing said"
        return line.replace(self._key, "…") if self._key else line


class _ShortAddress(logging.Filter):
    """httpx logs every address in full, with what may be a key behind ``?``; ours it logs as darl shows it."""

    def __init__(self, shown: str) -> None:
        super().__init__()
        self.shown = shown

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(self.shown if isinstance(one, httpx.URL) else one for one in record.args)
        return True


def _checked_key(key: str | None) -> str | None:
    key = (key or "").strip()
    if not all(33 <= ord(sign) <= 126 for sign in key):
        raise JudgeError(
            "the key holds a sign that cannot be sent", where="darl judge", mend="set the environment variable anew"
        )
    return key or None


def _error(response: httpx.Response) -> dict[str, Any]:
    """The error object of a response, however it is wrapped."""
    try:
        data = response.json()
    except (ValueError, RecursionError):  # not JSON, or not text at all
        return {}
    while isinstance(data, list) and data:
        data = data[0]
    inner = data.get("error", data) if isinstance(data, dict) else data
    return inner if isinstance(inner, dict) else {"message": inner}


def _code(response: httpx.Response) -> str:
    error = _error(response)
    return str(error.get("code") or error.get("type") or "")


def _reply(response: httpx.Response) -> Reply | None:
    """The answer in a response; None where it is no chat completion."""
    try:
        data = response.json()
        choice = data["choices"][0]
        message, usage = choice["message"], data.get("usage") or {}
        content = message.get("content") or message.get("refusal")
        if isinstance(content, list):  # parts, as some endpoints answer
            content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
        if not isinstance(content, (str, type(None))):
            return None
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        known = [count if isinstance(count, int) and 0 <= count < 2**40 else None for count in counts]
        return Reply(clean_text(content or ""), str(choice.get("finish_reason") or "") or None, *known)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None


def _named(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
