"""The code blocks of the documentation: what they say, in which language, and where they stand."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
PAGES = [*sorted((REPO / "docs").rglob("*.md")), REPO / "README.md", REPO / "CONTRIBUTING.md"]
FENCE = re.compile(r"^( *)(`{3,})(\w*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
PROMPTS = ("$ ", ".venv/bin/")


@dataclass(frozen=True)
class Block:
    """One block; ``language`` is empty where it is indented or its fence names none."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """Fenced blocks, then runs of lines that are indented by four as Markdown's older kind of block."""
    text, page = path.read_text(encoding="utf-8"), str(path.relative_to(REPO))
    found = []
    for match in FENCE.finditer(text):
        body = "\n".join(line.removeprefix(match[1]) for line in match[4].splitlines())
        found.append(Block(page, text.count("\n", 0, match.start()) + 2, match[3], body + "\n"))
    rest = FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in re.finditer(r"(?:(?<=\n\n)|\A)(?:    \S[^\n]*\n)+", rest):
        body = "".join(line[4:] + "\n" for line in match[0].splitlines())
        found.append(Block(page, rest.count("\n", 0, match.start()) + 1, "", body))
    return found


BLOCKS = [block for path in PAGES for block in blocks_of(path)]


@dataclass(frozen=True)
class Command:
    """One ``darl …`` of the documentation, its words as a shell would give them."""

    place: str
    words: list[str]

    def __str__(self) -> str:
        return f"{self.place} {shlex.join(self.words)}"


def commands_of(block: Block) -> list[Command]:
    """The calls of ``darl`` in a block: comments, prompts, pipes and what ``torchrun`` takes before it are left out.

    >>> block = Block("page.md", 1, "sh", "darl fit a.yaml \\\\\\n  tune.epochs=1  # quick\\n$ darl doctor | head\\n")
    >>> [command.words for command in commands_of(block)]
    [['fit', 'a.yaml', 'tune.epochs=1'], ['doctor']]
    """
    found = []
    if block.language not in ("", "sh", "bash", "shell", "console"):
        return found
    joined = re.sub(r"\\\n\s*", " ", block.text)
    for number, line in enumerate(joined.splitlines()):
        for prompt in PROMPTS:
            line = line.removeprefix(prompt)
        line = line.replace("torchrun", "").strip() if " -m darl " in line else line
        call = re.match(r"(?:[A-Z_]+=\S+ )*(?:.* -m )?darl (.*)", line)
        if call:
            lexer = shlex.shlex(call[1], posix=True, punctuation_chars="|>;&")
            lexer.whitespace_split = True
            words = list(lexer)
            end = next((at for at, word in enumerate(words) if set(word) <= set("|>;&")), len(words))
            found.append(Command(f"{block.page}:{block.line + number}", words[:end]))
    return found
