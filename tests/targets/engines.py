"""Real servers for the tests, each on loopback with a data folder of its own: MariaDB, PostgreSQL, slapd."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pg8000.native
import pymysql

_NOBODY = 65534
_DEADLINE = 30.0
TEAS = ((1, "Assam", 450), (2, "Ceylon", 420), (3, "Earl Grey", 480), (4, "Sencha", 610))

Ask = Callable[[str], Sequence[Sequence[object]]]
"""Runs a statement and gives its rows; raises whatever the driver raises."""


def program(name: str) -> str:
    """The path of a server's program, empty where it is not installed."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), Path("/usr/sbin"), Path("/usr/bin")]
    return shutil.which(name, path=os.pathsep.join((*map(str, places), os.environ.get("PATH", "")))) or ""


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60, **_as_nobody())


def _as_nobody() -> dict[str, int]:
    """These servers refuse to be root's."""
    return {"user": _NOBODY, "group": _NOBODY} if os.geteuid() == 0 else {}


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """A data folder that its server may write to; those of pytest are closed to others."""
    with tempfile.TemporaryDirectory(prefix=f"fast-{name}-") as folder:
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        yield Path(folder)


@contextmanager
def _served(command: Sequence[str], ready: Callable[[], object]) -> Iterator[None]:
    """The server, once `ready` no longer raises; ended afterwards."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_as_nobody())
    try:
        end = time.monotonic() + _DEADLINE
        while True:
            with suppress(Exception):
                ready()
                break
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def mariadb(data: Path) -> Iterator[Ask]:
    port = _port()
    options = ["--no-defaults", f"--datadir={data}"]
    _run(
        program("mariadb-install-db"), *options, "--auth-root-authentication-method=normal", "--skip-test-db"
    )
    command = [program("mariadbd"), *options, f"--socket={data}/s", f"--port={port}",
               "--bind-address=127.0.0.1", "--skip-name-resolve"]  # fmt: skip

    def knock() -> None:
        with socket.create_connection(("127.0.0.1", port), 1):
            pass

    def connect() -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(unix_socket=f"{data}/s", user="root", autocommit=True, database="mysql")

    with _served(command, knock):
        connection = connect()

        def ask(statement: str) -> Sequence[Sequence[object]]:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()

        ask("CREATE DATABASE teas")
        connection.select_db("teas")
        yield ask
        connection.close()


@contextmanager
def postgresql(data: Path) -> Iterator[Ask]:
    port = _port()
    _run(program("initdb"), "-D", str(data), "-A", "trust", "-U", "tea", "--no-sync", "-E", "UTF8")
    command = [program("postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
               "-c", f"unix_socket_directories={data}", "-c", "fsync=off"]  # fmt: skip

    def connect() -> pg8000.native.Connection:
        return pg8000.native.Connection("tea", host="127.0.0.1", port=port, database="postgres")

    with _served(command, lambda: connect().close()):
        connection = connect()
        yield lambda statement: connection.run(statement) or ()
        connection.close()


@contextmanager
def slapd(data: Path) -> Iterator[Callable[[str], int]]:
    """A directory with two people; gives the number of entries that a filter means."""
    port = _port()
    settings, people = data / "slapd.conf", data / "people.ldif"
    settings.write_text(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n"
        "include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f'database mdb\nsuffix "dc=tea"\ndirectory {data}\nmaxsize 10485760\naccess to * by * read\n'
    )
    entries = ["dn: dc=tea\nobjectClass: dcObject\nobjectClass: organization\no: tea\ndc: tea\n"]
    entries += [
        f"dn: uid={uid},dc=tea\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\n"
        for uid in ("ann", "bob")
    ]
    people.write_text("\n".join(entries))
    _run(program("slapadd"), "-f", str(settings), "-l", str(people))
    url = f"ldap://127.0.0.1:{port}"
    command = [program("slapd"), "-f", str(settings), "-h", url, "-d", "0"]
    search = [program("ldapsearch"), "-x", "-LLL", "-H", url, "-b", "dc=tea"]

    def count(expression: str) -> int:
        done = subprocess.run([*search, expression, "uid"], capture_output=True, timeout=20, check=False)
        if done.returncode:
            raise ValueError(done.stderr.decode())
        return done.stdout.count(b"dn:")

    with _served(command, lambda: count("(uid=ann)")):
        yield count
