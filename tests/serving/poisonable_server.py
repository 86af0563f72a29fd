"""The real server, with workers that can be poisoned."""

from __future__ import annotations

import sys
from pathlib import Path

from darl.cli.main import app
from darl.serving import link

if __name__ == "__main__":
    link.COMMAND = [sys.executable, str(Path(__file__).with_name("poisonable_worker.py"))]
    app(prog_name="darl")
