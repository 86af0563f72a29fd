"""PairTemplate: how a query and an item become one text, kept in the tokenizer itself.

A pair is encoded by segments, ``prefix + query + middle + item + suffix``, each tokenised on its own.
The fast tokenizer's post-processor stores prefix, middle and suffix, so ``tokenizer(query, item)`` gives
the same ids in plain transformers, in any tool that uses the saved folder, and in darl: the template
travels with the model and cannot be forgotten. Segments break where a text begins, so a template that
puts each text at the start of a line tokenises it as a language model expects.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from darl.errors import RecipeError
from darl.pairs.text import clean_text

DECODER_TEMPLATE = "Query:\n{query}\nItem:\n{item}\nRelevance:\n"
SLOT = re.compile(r"\{(\w*)\}")
EXAMPLE = "write for example 'Query:\\n{query}\\nItem:\\n{item}\\nRelevance:\\n'"


@dataclass(frozen=True)
class PairTemplate:
    """The three fixed segments around the texts of a pair.

    >>> PairTemplate.parse("Query:\\n{query}\\nItem:\\n{item}\\nRelevance:\\n")
    PairTemplate(prefix='Query:\\n', middle='\\nItem:\\n', suffix='\\nRelevance:\\n')
    """

    prefix: str
    middle: str
    suffix: str

    @classmethod
    def parse(cls, text: str) -> PairTemplate:
        """Read a template with ``{query}`` before ``{item}``, each once.

        Raises:
            RecipeError: a slot is missing, unknown or stands twice, the item comes first (the query is the
                shared prefix of a list of items, which fast scoring relies on), or a character that no
                tokenizer can read.
        """
        if not isinstance(text, str):
            raise RecipeError(f"a template is a text, not {text!r}", where="template", mend=EXAMPLE)
        if clean_text(text) != text:
            raise RecipeError("a template cannot hold NUL or half a surrogate pair", where="template", mend=EXAMPLE)
        slots = SLOT.findall(text)
        if slots != ["query", "item"]:
            raise RecipeError(
                f"a template needs {{query}} once and then {{item}} once, found {slots or 'none'}",
                where="template",
                mend=EXAMPLE,
            )
        prefix, _, middle, _, suffix = SLOT.split(text)
        return cls(prefix, middle, suffix)

    def __str__(self) -> str:
        return f"{self.prefix}{{query}}{self.middle}{{item}}{self.suffix}"


def install_template(tokenizer: PreTrainedTokenizerBase, template: PairTemplate, *, start: bool = True) -> None:
    """Store the template in the tokenizer's post-processor, in place.

    Args:
        tokenizer: a fast tokenizer.
        template: the segments.
        start: put the tokenizer's BOS token (CLS where there is no BOS) in front, where it has one and
            the template does not begin with it already.

    Raises:
        RecipeError: the template comes to no token at all, so an empty pair would be nothing.
    """
    backend: Tokenizer = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    # a tokenizer.json may pad and cut every text to a fixed length; the segments must not be
    backend.no_padding()
    backend.no_truncation()
    ids: dict[str, list[int]] = {
        "prefix": _ids(backend, template.prefix),
        "middle": _ids(backend, template.middle),
        "suffix": _ids(backend, template.suffix),
    }
    first: int | None = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id  # type: ignore[assignment]
    if start and first is not None and ids["prefix"][:1] != [first]:
        ids["prefix"].insert(0, first)
    if not any(ids.values()):
        raise RecipeError("the template adds no token of its own", where="template", mend=EXAMPLE)
    head = [*_piece("prefix", ids), {"Sequence": {"id": "A", "type_id": 0}}, *_piece("middle", ids)]
    tail = _piece("suffix", ids)
    # transformers takes a pair whose item is empty for a lone text: both get the whole template
    single = [*head, *tail]
    pair = [*head, {"Sequence": {"id": "B", "type_id": 0}}, *tail]
    known = {
        f"<darl:{name}>": {
            "id": f"<darl:{name}>",
            "ids": values,
            "tokens": [backend.id_to_token(value) for value in values],
        }
        for name, values in ids.items()
        if values
    }
    # the Python binding only builds templates of single special tokens; the file format knows runs of them
    state = json.loads(backend.to_str())
    state["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": pair,
        "special_tokens": known,
    }
    backend.post_processor = Tokenizer.from_str(json.dumps(state)).post_processor


def _ids(backend: Tokenizer, text: str) -> list[int]:
    return backend.encode(text, add_special_tokens=False).ids if text else []


def _piece(name: str, ids: dict[str, list[int]]) -> list[dict]:
    return [{"SpecialToken": {"id": f"<darl:{name}>", "type_id": 0}}] if ids[name] else []
