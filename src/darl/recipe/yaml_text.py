"""The YAML of recipes: plain data, no surprises, and the line of every key.

Read as YAML 1.2 reads it: only ``true`` and ``false`` are truth values (so a grade may be called ``no``),
``1e-4`` is a number, ``12:30`` and ``2024-01-01`` are text. A key that stands twice is refused. ``${VAR}`` and
``${VAR:-default}`` in a value are replaced from the environment; ``$${`` is a plain ``${``.
"""

from __future__ import annotations

import os
import re
from typing import Any

import yaml

from darl.errors import RecipeError

Key = tuple[str | int, ...]
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?", re.DOTALL)
_PREFIX = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for kind, pattern, first in _SCALARS:
        for letter in first:
            key = "" if letter == "\0" else letter
            table.setdefault(key, []).append((_PREFIX + kind, re.compile(rf"(?:{pattern})$")))
    return table


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 scalars, variables, and no key twice."""

    yaml_implicit_resolvers = _resolvers()

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if "${" in node.value:
            node.value = _expand(node.value, f"{self.name}:{node.start_mark.line + 1}")
            if node.style is None:  # not in quotes: the replaced text may be a number
                node.tag = self.resolve(yaml.ScalarNode, node.value, (True, False))
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _PREFIX + "merge":
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1  # type: ignore[no-untyped-call]
            if isinstance(key, (str, int, float, bool)) and key in seen:
                raise RecipeError(
                    f"the key {key!r} stands twice, first on line {seen[key]}",
                    where=f"{self.name}:{line}",
                    mend="remove one of them",
                )
            if isinstance(key, (str, int, float, bool)):
                seen[key] = line
        return super().construct_mapping(node, deep)

    def construct_int(self, node: yaml.ScalarNode) -> int:
        text = node.value.replace("+", "")
        base = {"0o": 8, "0x": 16}.get(text[:2])
        return int(text[2:], base) if base else int(text)

    def construct_float(self, node: yaml.ScalarNode) -> float:
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor(_PREFIX + "int", _Loader.construct_int)
_Loader.add_constructor(_PREFIX + "float", _Loader.construct_float)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that puts in quotes whatever :class:`_Loader` would not read as text."""

    yaml_implicit_resolvers = _resolvers()

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # the rarer line breaks survive only as escapes
    style = '"' if any(char in text for char in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(_PREFIX + "str", text.replace("${", "$${"), style=style)


def _represent_list(dumper: _Dumper, values: list) -> yaml.SequenceNode:
    flat = not any(isinstance(value, (list, dict)) for value in values)
    return dumper.represent_sequence(_PREFIX + "seq", values, flow_style=flat)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)


def parse_yaml(text: str, name: str) -> tuple[Any, dict[Key, int]]:
    """Plain data of a YAML text, and the line (from 1) on which each key stands.

    Args:
        text: one YAML document.
        name: the file's name in messages.

    Raises:
        RecipeError: not YAML (with line and column), a key twice, or a variable that is not set.

    >>> parse_yaml("tune:\\n  epochs: 1e1\\n", "r.yaml")
    ({'tune': {'epochs': 10.0}}, {('tune',): 1, ('tune', 'epochs'): 2})
    """
    lines: dict[Key, int] = {}
    try:
        loader = _Loader(text)
        loader.name = name
        try:
            node = loader.get_single_node()
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
        if node is not None:
            _note_lines(node, (), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = " ".join(part for part in (error.problem, error.context) if part)
        raise RecipeError(
            f"this is not YAML: {what}",
            where=place,
            mend="check indentation and colons there; put text with special characters in quotes",
        ) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RecipeError(f"a character that YAML does not allow: {error.reason}", where=f"{name}:{line}") from error
    except (ValueError, TypeError) as error:  # a tag such as !!timestamp on text that is none
        raise RecipeError(f"a value cannot be read: {error}", where=name) from error
    except RecursionError as error:
        raise RecipeError("the YAML is nested too deeply", where=name) from error
    return data, lines


def dump_yaml(data: Any) -> str:
    """YAML text from which :func:`parse_yaml` reads the same data.

    Raises:
        RecipeError: the data holds an object that YAML has no word for.

    >>> print(dump_yaml({"grades": {"names": ["no", "1e-4"]}, "path": "${HOME}"}), end="")
    grades:
      names: [no, '1e-4']
    path: $${HOME}
    """
    try:
        return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    except yaml.YAMLError as error:
        raise RecipeError(f"a value cannot be written as YAML: {error}") from error


def _expand(text: str, where: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match.group(0) == "$${":
            return "${"
        named = _VARIABLE_NAME.fullmatch(match.group(1))
        if named is None:
            raise RecipeError(f"{match.group(0)!r} names no variable", where=where, mend="write ${NAME}, or $${ for ${")
        found = os.environ.get(named.group(1))
        if named.group(2) is not None:  # as in a shell, an empty variable also takes the default
            return found or named.group(3)
        if found is None:
            raise RecipeError(
                f"the environment variable {named.group(1)} is not set",
                where=where,
                mend=f"set it, or write a default: ${{{named.group(1)}:-value}}",
            )
        return found

    return _VARIABLE.sub(value, text)


def _note_lines(node: yaml.Node, key: Key, lines: dict[Key, int]) -> None:
    if len(key) > 32:  # an alias that holds itself
        return
    if isinstance(node, yaml.MappingNode):
        for key_node, value in node.value:
            here = (*key, key_node.value)
            lines.setdefault(here, key_node.start_mark.line + 1)
            _note_lines(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines.setdefault((*key, index), value.start_mark.line + 1)
            _note_lines(value, (*key, index), lines)
