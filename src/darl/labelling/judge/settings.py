"""How the judge is asked: endpoint, model, samples, patience, and what tokens cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import urlsplit, urlunsplit

from darl.labelling.judge.problems import JudgeError

AnswerForm = Literal["auto", "schema", "json", "text"]
MOST_AT_ONCE = 256
_PATH = "/chat/completions"


@dataclass(frozen=True)
class JudgeSettings:
    """The settings of one judge.

    Attributes:
        endpoint: the base address of an OpenAI-compatible API, as in ``http://localhost:8000/v1``.
        model: its name there.
        samples: answers for each pair; the grade is the one that most of them give.
        temperature: of the sampling; None sends 0 for one sample and nothing (the endpoint's own) for several.
        max_tokens: that an answer may have; a model that thinks before it answers needs thousands.
        tries: how often an answer that names no grade is asked for.
        concurrency: requests at a time.
        timeout: seconds for one whole request.
        retries: further attempts of a request that failed on the way (429, 5xx, timeouts, dropped connections).
        answer: ``schema`` asks for JSON by a JSON schema, ``json`` for any JSON object, ``text`` for nothing;
            ``auto`` takes the first of them that the endpoint takes.

    Raises:
        JudgeError: a setting out of its range.

    >>> JudgeSettings("http://localhost:8000/v1/", "small").url
    'http://localhost:8000/v1/chat/completions'
    """

    endpoint: str
    model: str
    samples: int = 1
    temperature: float | None = None
    max_tokens: int = 256
    tries: int = 3
    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 5
    answer: AnswerForm = "auto"

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.endpoint)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or any(ord(sign) <= 32 for sign in self.endpoint):
            raise _wrong("endpoint", _without_secrets(self.endpoint), "an address: http://localhost:8000/v1")
        if not self.model.strip():
            raise _wrong("model", self.model, "the model's name at the endpoint")
        for name, least, most in (
            ("samples", 1, 100),
            ("max_tokens", 1, 1_000_000),
            ("tries", 1, 10),
            ("concurrency", 1, MOST_AT_ONCE),
            ("retries", 0, 20),
        ):
            if not least <= getattr(self, name) <= most:
                raise _wrong(name, getattr(self, name), f"a number from {least} to {most:,}")
        if not (0 < self.timeout < math.inf):
            raise _wrong("timeout", self.timeout, "seconds, above 0")
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise _wrong("temperature", self.temperature, "a number from 0 to 2")
        if self.temperature == 0 and self.samples > 1:
            raise JudgeError(
                f"{self.samples} samples at temperature 0 are one sample, paid {self.samples} times",
                where="judge settings",
                mend="leave the temperature out, or take one sample",
            )
        if self.answer not in get_args(AnswerForm):
            raise _wrong("answer", self.answer, f"one of {', '.join(get_args(AnswerForm))}")

    @property
    def url(self) -> str:
        """Where requests go."""
        parts = urlsplit(self.endpoint)
        path = parts.path.rstrip("/")
        return urlunsplit(parts._replace(path=path if path.endswith(_PATH) else path + _PATH, fragment=""))

    @property
    def shown(self) -> str:
        """The address as it may be shown: without a user, a password and what follows ``?``."""
        return _without_secrets(self.url)

    @property
    def sent_temperature(self) -> float | None:
        """The temperature that is sent; None: none is."""
        return 0.0 if self.temperature is None and self.samples == 1 else self.temperature

    def identity(self) -> list[Any]:
        """What makes two answers to the same messages the same draw: part of the cache's key."""
        return [self.shown, self.model, self.sent_temperature, self.max_tokens, self.answer]


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in any currency, and how much may be spent.

    Attributes:
        prompt, completion: of the tokens sent and of those answered.
        budget: the most that the whole job may cost, earlier starts of it included; None: no limit.

    Raises:
        JudgeError: a negative price, or a budget without prices.

    >>> Prices(2.0, 8.0).cost(1_000_000, 500_000)
    6.0
    """

    prompt: float = 0.0
    completion: float = 0.0
    budget: float | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "completion"):
            if not 0 <= getattr(self, name) < math.inf:
                raise _wrong(f"price of {name} tokens", getattr(self, name), "a number from 0 up, per million tokens")
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise _wrong("budget", self.budget, "a number above 0")
        if self.budget is not None and not self.known:
            raise JudgeError(
                "a budget needs prices",
                where="judge settings",
                mend="say what a million tokens cost: --price 0.15,0.60",
            )

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return self.prompt > 0 or self.completion > 0

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What so many tokens cost."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    except ValueError:
        return "an address that cannot be read"


def _wrong(name: str, value: object, mend: str) -> JudgeError:
    return JudgeError(f"{name}={value!r}", where="judge settings", mend=f"give {mend}")
