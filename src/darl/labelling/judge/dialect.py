"""What an endpoint takes: the optional parts of a request, and the next form to try when it refuses one.

OpenAI-compatible endpoints differ: some know no JSON schema, some no ``max_tokens``, some fix the temperature, and
some chat templates have no place for a system message.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from darl.labelling.judge.prompt import Message
from darl.labelling.judge.settings import JudgeSettings

_LENGTH = ("max_tokens", "max_completion_tokens", "")
_FORMS = ("schema", "json", "text")


@dataclass(frozen=True)
class Dialect:
    """One form of a request.

    Attributes:
        answer: ``schema``, ``json`` or ``text``.
        length: the name of the field that limits the answer's tokens; empty: none.
        temperature: whether it is sent. system: whether there is a message of that role.
        free: whether ``answer`` may be changed.
    """

    answer: str = "schema"
    length: str = "max_tokens"
    temperature: bool = True
    system: bool = True
    free: bool = True

    @classmethod
    def first(cls, settings: JudgeSettings) -> Dialect:
        """The form to begin with."""
        free = settings.answer == "auto"
        sends = settings.sent_temperature is not None
        return cls("schema" if free else settings.answer, temperature=sends, free=free)

    def body(self, settings: JudgeSettings, messages: list[Message], schema: dict[str, Any]) -> dict[str, Any]:
        """The JSON of a request."""
        if not self.system and messages[0]["role"] == "system":
            first = {"role": "user", "content": messages[0]["content"] + "\n\n" + messages[1]["content"]}
            messages = [first, *messages[2:]]
        body: dict[str, Any] = {"model": settings.model, "messages": messages, "stream": False}
        if self.length:
            body[self.length] = settings.max_tokens
        if self.temperature:
            body["temperature"] = settings.sent_temperature
        if self.answer == "schema":
            named = {"name": "grade", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        elif self.answer == "json":
            body["response_format"] = {"type": "json_object"}
        return body

    def next(self, complaint: str) -> Dialect | None:
        """The form to try after a refusal: without what the complaint names, else with a plainer answer.

        >>> Dialect().next("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.").length
        'max_completion_tokens'
        >>> Dialect().next("bad request").answer, Dialect(answer="text").next("bad request")
        ('json', None)
        """
        told = complaint.casefold()
        if self.length and self.length in told:
            return replace(self, length=_LENGTH[_LENGTH.index(self.length) + 1])
        if self.temperature and "temperature" in told:
            return replace(self, temperature=False)
        if self.system and "system" in told and "role" in told:
            return replace(self, system=False)
        if self.free and self.answer != _FORMS[-1]:
            return replace(self, answer=_FORMS[_FORMS.index(self.answer) + 1])
        return None

    def to_text(self) -> str:
        """What differs from a full request, for people.

        >>> Dialect(answer="text", temperature=False).to_text()
        'answers as text, no temperature'
        """
        parts = [
            {"schema": "answers by JSON schema", "json": "answers as JSON", "text": "answers as text"}[self.answer]
        ]
        parts += [f"length by {self.length}"] if self.length == _LENGTH[1] else []
        parts += ["no limit of length"] if not self.length else []
        parts += [] if self.temperature else ["no temperature"]
        parts += [] if self.system else ["no system message"]
        return ", ".join(parts)
