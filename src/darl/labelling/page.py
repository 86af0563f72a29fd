"""The labelling page's server: its own files, and a small JSON interface under ``/api``."""

# No `from __future__ import annotations` here: FastAPI reads the annotations of functions made in a function.
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from darl.errors import DarlError, MissingExtraError
from darl.labelling.answering import LONGEST_NAME, LONGEST_NOTE, can_undo, enter, record, undo
from darl.labelling.problems import LeaseGoneError
from darl.labelling.progress import progress
from darl.labelling.project import Project
from darl.labelling.queue import Task, next_task, renew

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import FileResponse, JSONResponse
    from fastapi.staticfiles import StaticFiles
    from sqlalchemy.exc import SQLAlchemyError
    from starlette.middleware.trustedhost import TrustedHostMiddleware
except ImportError as error:
    raise MissingExtraError(
        "the labelling page needs the packages fastapi and uvicorn",
        where="darl label",
        mend="pip install 'darl[label]'",
    ) from error

log = logging.getLogger(__name__)

STATIC = Path(str(files("darl.labelling") / "static"))
LARGEST_BODY = 64 * 1024  # bytes
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
MARK, KEY = "x-darl", "x-darl-key"
"""The header that every call of the page bears (another site's page cannot send it), and that of the access key."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Who(_Body):
    """Who calls."""

    annotator: str = Field(max_length=4 * LONGEST_NAME)


class Held(Who):
    """Who calls, about which task."""

    token: str = Field(max_length=64)


class Said(Held):
    """An answer."""

    outcome: Literal["grade", "cannot_tell", "skip"]
    grade: int | None = None
    note: str = Field(default="", max_length=2 * LONGEST_NOTE)
    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


def label_app(project: Project, *, key: str | None = None, hosts: Sequence[str] | None = None) -> FastAPI:
    """The page of a project as an ASGI application.

    Args:
        project: what is labelled.
        key: when given, every call must bear it in the header ``X-Darl-Key``.
        hosts: when given, the only names under which the server answers; keeps other sites from reaching a page on
            this machine by a name of theirs (DNS rebinding).
    """
    app = FastAPI(title="darl label", docs_url=None, redoc_url=None, openapi_url=None)
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        refused = _refused(request, key)
        response = refused if refused is not None else await call_next(request)
        response.headers.update(HEADERS)
        return response

    @app.exception_handler(DarlError)
    async def mendable(_: Request, error: DarlError) -> JSONResponse:
        gone = isinstance(error, LeaseGoneError)
        return _problem(409 if gone else 422, "gone" if gone else "refused", error.what)

    @app.exception_handler(SQLAlchemyError)
    async def database_fails(_: Request, error: SQLAlchemyError) -> JSONResponse:
        log.error("the database fails: %s", " ".join(str(error).split())[:500])
        return _problem(503, "database", "the database fails; nothing was written")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html; charset=utf-8")

    @app.get("/api/project")
    def about() -> dict[str, Any]:
        return {
            "grades": list(project.scale.names),
            "guideline": project.settings.guideline,
            "renew_seconds": project.settings.lease_seconds / 3,
            "longest_note": LONGEST_NOTE,
        }

    @app.post("/api/next")
    def following(who: Who) -> dict[str, Any]:
        annotator = enter(project, who.annotator)
        return _state(project, annotator, next_task(project, annotator))

    @app.post("/api/answer")
    def answer(said: Said) -> dict[str, Any]:
        annotator = enter(project, said.annotator)
        record(
            project,
            annotator,
            said.token,
            said.outcome,
            grade=said.grade,
            note=said.note,
            seconds=said.seconds,
        )
        return _state(project, annotator, next_task(project, annotator))

    @app.post("/api/undo")
    def take_back(who: Who) -> dict[str, Any]:
        annotator = enter(project, who.annotator)
        return _state(project, annotator, undo(project, annotator) or next_task(project, annotator))

    @app.post("/api/renew")
    def keep(held: Held) -> dict[str, bool]:
        return {"held": renew(project, enter(project, held.annotator), held.token)}

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app


def _refused(request: Request, key: str | None) -> JSONResponse | None:
    """The answer to a call that must not come through, or None."""
    if not request.url.path.startswith("/api/"):
        return None
    if key is not None and not secrets.compare_digest(request.headers.get(KEY, "").encode(), key.encode()):
        return _problem(401, "key", "the access key is missing or wrong")
    if request.method == "POST" and MARK not in request.headers:
        return _problem(403, "foreign", f"a call needs the header {MARK}")
    length = request.headers.get("content-length", "0")
    if request.method == "POST" and (not length.isdigit() or int(length) > LARGEST_BODY):
        return _problem(413, "refused", f"a call has at most {LARGEST_BODY:,} bytes")
    if "transfer-encoding" in request.headers:
        return _problem(411, "refused", "a call says its length")
    return None


def _problem(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": code, "message": message}, status_code=status)


def _state(project: Project, annotator: int, task: Task | None) -> dict[str, Any]:
    return {
        "task": None if task is None else asdict(task),
        "progress": asdict(progress(project, annotator)),
        "can_undo": can_undo(project, annotator),
    }
