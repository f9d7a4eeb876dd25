"""A PostgreSQL of a test's own on loopback, with a password, ended with the test."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clients import free_port, need
from jobs import until

PASSWORD = "open-sesame"


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a fresh database, without its password."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    bin_folder = found[-1].parent if found else Path(need("initdb")).parent
    folder = Path(tempfile.mkdtemp(prefix="fast-action-postgres."))
    # It refuses to run as root.
    root = os.getuid() == 0
    user = pwd.getpwnam("postgres") if root else pwd.getpwuid(os.getuid())
    os.chown(folder, user.pw_uid, user.pw_gid)
    given = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if root else {}
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"
    made = [bin_folder / "initdb", "--pgdata", data, "--username", "fast", "--auth", "scram-sha-256",
            "--pwfile", secret, "--no-sync", "--locale", "C", "--encoding", "UTF8"]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True, cwd=folder, timeout=120, **given)
    port = free_port()
    log = (folder / "log").open("wb")
    options = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
    }
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen(
        [bin_folder / "postgres", "-D", data, *words], cwd=folder, stdout=log, stderr=log, **given
    )
    try:
        said = folder / "log"
        until(lambda: b"ready to accept connections" in said.read_bytes(), "PostgreSQL", 60)
        yield f"postgresql://fast@127.0.0.1:{port}/postgres"
    finally:
        # Fast shutdown: it does not wait for clients.
        server.send_signal(2)
        server.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
