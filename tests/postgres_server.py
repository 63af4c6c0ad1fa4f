"""A real PostgreSQL for tests: one server for a test run, which ends with it, and a schema of its own for each test.

Run as a program, `postgres_server.py FOLDER PID` starts a server in a new folder, and stops it when the process
with this id has ended, in whatever way.
"""

from __future__ import annotations

import fcntl
import getpass
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

NEEDED = "LUMA_ASYNC_NEED_POSTGRES"
"""Set in the environment, tests fail where PostgreSQL is absent; otherwise they are skipped."""


def binaries():
    """Return the folder of PostgreSQL's programs, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    found = [path for path in folders if (path / "initdb").exists()]
    return found[0] if found else Path(on_path).parent if on_path else None


def server_user():
    """Return the user that runs the server, who must not be root."""
    if os.getuid() != 0:
        return getpass.getuser()
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgresServer:
    """A server in a folder of its own, on loopback and on a Unix socket in that folder."""

    def __init__(self, folder, port=None):
        self.folder = Path(folder)
        self.port = port or free_port()
        self._process = None

    @classmethod
    @contextmanager
    def temporary(cls):
        """Run a server of one's own; None where PostgreSQL is absent."""
        if binaries() is None:
            yield None
            return
        folder = Path(tempfile.mkdtemp(prefix="luma-async-postgres-"))
        folder.chmod(0o755)
        server = cls(folder / "server")
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder)

    def create(self):
        """Make the database in a new folder."""
        self.folder.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.folder, server_user())
        options = ["--no-sync", "--auth=trust", "--username=luma", "--encoding=UTF8", "--locale=C"]
        self._run("initdb", "-D", self.folder / "data", *options).communicate()

    def start(self):
        """Start it, and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": 200,
            "shared_buffers": "32MB",
        }
        flags = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in settings.items())
        self._process = self._run("postgres", "-D", self.folder / "data", *flags)
        while self._run("pg_isready", "-h", self.folder, "-p", self.port).wait() != 0:
            assert self._process.poll() is None, f"PostgreSQL ended; see {self.folder / 'log'}"
            time.sleep(0.05)

    def stop(self, number=signal.SIGINT):
        """Stop it: SIGINT disconnects clients, SIGQUIT is like a crash."""
        self._process.send_signal(number)
        self._process.wait()

    def dsn(self, schema=None):
        """Return the address of the database, or of a new schema in it."""
        dsn = f"postgresql://luma:{PASSWORD}@127.0.0.1:{self.port}/postgres"
        return f"{dsn}?options=-csearch_path%3D{schema}" if schema else dsn

    def new_schema(self):
        """Create a schema, and return its address."""
        import psycopg

        name = f"test_{os.urandom(6).hex()}"
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return self.dsn(name)

    def _run(self, program, *arguments):
        command = [str(binaries() / program), *map(str, arguments)]
        user = {"user": server_user(), "group": None, "extra_groups": []} if os.getuid() == 0 else {}
        if user:
            user["group"] = pwd.getpwnam(server_user()).pw_gid
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **user)


PASSWORD = "canary-of-the-journal"
"""A password that must not be shown anywhere; the server trusts everybody."""


def _missing():
    if binaries() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    return None


@pytest.fixture(scope="session")
def postgres_server():
    """The server of this test run, shared by all its processes."""
    if (why := _missing()) is not None:
        (pytest.fail if os.environ.get(NEEDED) else pytest.skip)(why)
    # The test run is the process that started this one, if tests run in several processes.
    run = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"luma-async-postgres-{run}"
    with folder.with_suffix(".port").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if not (port := file.read()):
            command = [sys.executable, __file__, str(folder), str(run)]
            keeper = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, text=True)
            port = keeper.stdout.readline()
            file.write(port)
            keeper.stdout.close()
            keeper.returncode = 0  # it outlives this process, and ends with the test run
    return PostgresServer(folder, int(port))


@pytest.fixture
def postgres_dsn(postgres_server):
    """The address of an empty schema, with a password in it."""
    return postgres_server.new_schema()


def keep(folder, run):
    """Run a server until the process `run` has ended."""
    server = PostgresServer(folder)
    server.create()
    server.start()
    print(server.port, flush=True)
    with suppress(ProcessLookupError):
        while True:
            os.kill(run, 0)
            time.sleep(0.5)
    server.stop()
    shutil.rmtree(folder)
    Path(folder).with_suffix(".port").unlink(missing_ok=True)


if __name__ == "__main__":
    keep(sys.argv[1], int(sys.argv[2]))
