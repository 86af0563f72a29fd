"""Optional libraries of the export, by name."""

from __future__ import annotations

import importlib
from types import ModuleType

from darl.errors import ModelError

MEND = "pip install 'darl[onnx]'"


def onnx_library(name: str) -> ModuleType:
    """An optional library by name.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ModelError(f"{name.split('.')[0]} is not installed", mend=MEND) from error
