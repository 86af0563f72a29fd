"""Databases for the tests of labelling: SQLite files, and a throwaway PostgreSQL where its programs are found."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

NewDatabase = Callable[[], str]


def postgres_programs() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``: on the path, or where Debian and others hide them."""
    found = shutil.which("initdb")
    homes = [Path(found).resolve().parent] if found else []
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin"):
        homes += sorted(Path("/usr").glob(pattern), reverse=True)
    return next((home for home in homes if (home / "initdb").exists() and (home / "pg_ctl").exists()), None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a cluster of our own, reached through a socket in its own folder; skips, saying why, without one."""
    home = postgres_programs()
    if home is None:
        pytest.skip("no PostgreSQL on this machine (initdb and pg_ctl): apt-get install postgresql")
    user = _ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="darl-pg-", dir="/tmp"))  # a socket's path must be short
    as_user: dict = {}
    if os.getuid() == 0:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(home / program), *arguments], capture_output=True, text=True, check=False, cwd=folder, **as_user
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    data, log = folder / "data", folder / "log"
    run("initdb", "-D", str(data), "--auth=trust", "--username=darl", "--no-sync", "--encoding=UTF8", "--locale=C")
    try:
        options = f"-c fsync=off -c listen_addresses='' -c unix_socket_directories='{folder}'"
        run("pg_ctl", "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        try:
            yield f"postgresql://darl@/NAME?host={folder}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ordinary_user() -> str:
    """Who runs the cluster: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid()).pw_name
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody here")


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """Names a new, empty database at each call, of each kind in turn."""
    made: list[str] = []
    if request.param == "sqlite":
        return lambda: made.append("") or str(tmp_path / f"labels{len(made)}.sqlite")
    url = request.getfixturevalue("postgres")

    def create() -> str:
        import psycopg

        name = f"labels_{os.urandom(6).hex()}"
        with psycopg.connect(url.replace("/NAME", "/postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        return url.replace("/NAME", f"/{name}")

    return create
