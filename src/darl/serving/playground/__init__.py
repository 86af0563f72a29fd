"""The playground at ``/``: a page on which people try the model; it calls ``/v1/relevance`` like any client.

The page's files hold nothing of the model, so they need no key; every call that the page makes does.
"""

from darl.serving.playground.routes import PATHS, add_playground

__all__ = ["PATHS", "add_playground"]
