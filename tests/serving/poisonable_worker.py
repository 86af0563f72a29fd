"""The real worker, with a model that fails on POISON, is slow on SLOW and kills the process on DEADLY."""

from __future__ import annotations

import os
import time

from darl.model import RelevanceModel
from darl.serving import worker

encode = RelevanceModel.encode


def poisoned(self: RelevanceModel, *, queries: list[str], items: list[str]) -> object:
    if any("SLOW" in item for item in items):
        time.sleep(1.0)
    if any("DEADLY" in item for item in items):
        os._exit(9)
    if any("POISON" in item for item in items):
        raise ValueError("poison")
    return encode(self, queries=queries, items=items)


if __name__ == "__main__":
    RelevanceModel.encode = poisoned  # type: ignore[method-assign, assignment]
    worker.main()
