"""``python -m darl`` is the command ``darl``."""

from darl.cli.main import app

if __name__ == "__main__":
    app(prog_name="darl")
