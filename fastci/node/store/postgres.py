"""A store in PostgreSQL that nodes of many workflows share: records, test runs in parts, known findings.

A node records into a file as always and hands it in when it is whole; one that tests takes it out into one. A
test run has a row for each of its parts. Who wants to work leases a part (`FOR UPDATE SKIP LOCKED`, so that
nobody gets what another takes), renews the lease while it works, and hands the results in. A part whose lease
ran out is free again: its node is dead. Times are the server's, so clocks of runners do not matter.

Works without the driver being there until a shared store is asked for (`pip install fast-action[postgres]`).
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastci.errors import TechnicalError, UsageError

if TYPE_CHECKING:
    import psycopg

PREFIXES = ("postgresql://", "postgres://")
_CHUNK = 1 << 20
_LOCK = 0x66617374
"""Advisory lock of those who bring the schema up to date."""
_MIGRATIONS = (
    """
    CREATE SEQUENCE fast_record_number;
    CREATE TABLE fast_record (
        id text PRIMARY KEY, name text NOT NULL, build_id text NOT NULL, baselines integer NOT NULL,
        created timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX fast_record_build ON fast_record (build_id, created);
    CREATE TABLE fast_record_chunk (
        record text NOT NULL REFERENCES fast_record ON DELETE CASCADE, number integer NOT NULL,
        content bytea NOT NULL, PRIMARY KEY (record, number)
    );
    CREATE TABLE fast_run (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text NOT NULL,
        record text NOT NULL REFERENCES fast_record ON DELETE CASCADE,
        created timestamptz NOT NULL DEFAULT now(), closed timestamptz
    );
    CREATE UNIQUE INDEX fast_run_open ON fast_run (key) WHERE closed IS NULL;
    CREATE TABLE fast_part (
        run bigint NOT NULL REFERENCES fast_run ON DELETE CASCADE, number integer NOT NULL,
        phase integer NOT NULL, exclusive boolean NOT NULL, owner text NOT NULL DEFAULT '',
        leased_until timestamptz, result text, PRIMARY KEY (run, number)
    );
    """,
    """
    CREATE TABLE fast_known_finding (
        fingerprint text PRIMARY KEY, body text NOT NULL, changed timestamptz NOT NULL DEFAULT now()
    );
    """,
)
"""Each brings the schema from its own number to the next; never changed, only added to."""
_CLAIM = """
    UPDATE fast_part SET owner = %(owner)s, leased_until = now() + make_interval(secs => %(lease)s)
    WHERE (run, number) IN (
        SELECT run, number FROM fast_part AS mine
        WHERE run = %(run)s AND result IS NULL AND (leased_until IS NULL OR leased_until < now())
        AND NOT EXISTS (
            SELECT FROM fast_part AS other WHERE other.run = mine.run AND other.result IS NULL
            AND (other.phase < mine.phase
                 OR (mine.exclusive AND other.phase = mine.phase AND other.leased_until >= now()))
        )
        ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING number
"""


def is_shared(store: str) -> bool:
    """Whether a value of FAST_STORE names a database, not a folder."""
    return store.startswith(PREFIXES)


@dataclass(frozen=True, kw_only=True)
class SharedRecord:
    """What the store says of a record."""

    id: str
    name: str
    build_id: str
    baselines: int


class SharedStore:
    """One connection, safe to use from several threads. Raises TechnicalError when the server does not do it.

    `url` may hold a password; otherwise the token is it.
    """

    def __init__(self, url: str, *, token: str = "") -> None:
        self._where = _without_secret(url)
        self._lock = threading.Lock()
        try:
            import psycopg
        except ImportError as error:
            raise UsageError(
                f"FAST_STORE={self._where} needs the PostgreSQL driver",
                hint="pip install 'fast-action[postgres]'",
            ) from error
        self._driver = psycopg
        given: dict[str, Any] = {"password": token} if token and not urlsplit(url).password else {}
        with self._guard():
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                url, autocommit=True, connect_timeout=10, application_name="fast-action", **given
            )
        try:
            self._migrate()
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise TechnicalError(
                f"the shared store {self._where} does not answer as it should",
                why=" ".join(str(error).split()),
                hint="FAST_STORE names it, WALLARM_API_TOKEN is its password",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator["psycopg.Cursor[Any]"]:
        with self._lock, self._guard(), self._connection.transaction(), self._connection.cursor() as cursor:
            yield cursor

    def _migrate(self) -> None:
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            cursor.execute("CREATE TABLE IF NOT EXISTS fast_schema (version integer NOT NULL)")
            row = cursor.execute("SELECT max(version) FROM fast_schema").fetchone()
            version = row[0] if row and row[0] else 0
            if version > len(_MIGRATIONS):
                raise UsageError(
                    f"the shared store {self._where} was made by a newer fast-action",
                    why=f"its schema is {version}, this one knows {len(_MIGRATIONS)}",
                )
            for number, script in enumerate(_MIGRATIONS[version:], version + 1):
                cursor.execute(script)
                cursor.execute("INSERT INTO fast_schema VALUES (%s)", (number,))

    def close(self) -> None:
        self._connection.close()

    # records

    def reserve_record(self) -> str:
        """An id that no other record of this store has."""
        with self._transaction() as cursor:
            row = cursor.execute("SELECT nextval('fast_record_number')").fetchone()
        assert row
        return f"rec_{row[0]:04d}"

    def put_record(self, path: Path, record: SharedRecord) -> None:
        """Hand in the whole file of a record, all or nothing."""
        with self._transaction() as cursor, path.open("rb") as file:
            cursor.execute(
                "INSERT INTO fast_record (id, name, build_id, baselines) VALUES (%s, %s, %s, %s)",
                (record.id, record.name, record.build_id, record.baselines),
            )
            number = 0
            while chunk := file.read(_CHUNK):
                cursor.execute(
                    "INSERT INTO fast_record_chunk VALUES (%s, %s, %s)", (record.id, number, chunk)
                )
                number += 1

    def choose_record(self, *, record_id: str = "", build_id: str = "") -> SharedRecord:
        """By id, else the newest of this build, else the newest. Raises UsageError when there is none."""
        wanted = "id = %s" if record_id else "build_id = %s" if build_id else "%s = ''"
        with self._transaction() as cursor:
            row = cursor.execute(
                f"SELECT id, name, build_id, baselines FROM fast_record WHERE {wanted} "
                "ORDER BY created DESC, id DESC LIMIT 1",
                (record_id or build_id,),
            ).fetchone()
        if row is None:
            what = record_id or (f"of BUILD_ID={build_id}" if build_id else "")
            raise UsageError(
                f"the shared store has no test record {what}".rstrip(),
                why=f"asked {self._where}",
                hint="record first, with the same FAST_STORE and BUILD_ID",
            )
        return SharedRecord(id=row[0], name=row[1], build_id=row[2], baselines=row[3])

    def take_record(self, record_id: str, path: Path) -> None:
        """Write the file of a record to this path, which appears whole or not at all."""
        part = path.with_suffix(".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as cursor, part.open("wb") as file:
            part.chmod(0o600)
            query = "SELECT content FROM fast_record_chunk WHERE record = %s AND number = %s"
            number = 0
            while row := cursor.execute(query, (record_id, number)).fetchone():
                file.write(row[0])
                number += 1
        part.replace(path)

    # runs

    def join_run(self, key: str, record_id: str, phases: Sequence[tuple[int, bool]]) -> int:
        """The open run of this key, begun if there is none; `phases` are its parts: (phase, exclusive).

        Parts of a phase wait for those of earlier ones; exclusive ones for each other.
        """
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK & 0xFFFF, key))
            row = cursor.execute(
                "SELECT id FROM fast_run WHERE key = %s AND closed IS NULL", (key,)
            ).fetchone()
            if row is None:
                row = cursor.execute(
                    "INSERT INTO fast_run (key, record) VALUES (%s, %s) RETURNING id", (key, record_id)
                ).fetchone()
                assert row
                cursor.executemany(
                    "INSERT INTO fast_part (run, number, phase, exclusive) VALUES (%s, %s, %s, %s)",
                    [(row[0], number, *part) for number, part in enumerate(phases)],
                )
        return int(row[0])

    def claim(self, run: int, owner: str, lease: float) -> int | None:
        """Lease a part for so many seconds; None when there is none to have now."""
        with self._transaction() as cursor:
            # What is exclusive must see what another claims at this very moment.
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (run,))
            row = cursor.execute(_CLAIM, {"run": run, "owner": owner, "lease": lease}).fetchone()
        return None if row is None else int(row[0])

    def renew(self, run: int, number: int, owner: str, lease: float) -> bool:
        """Lease it on; False when another node has it by now."""
        with self._transaction() as cursor:
            cursor.execute(
                "UPDATE fast_part SET leased_until = now() + make_interval(secs => %s) "
                "WHERE run = %s AND number = %s AND owner = %s AND result IS NULL",
                (lease, run, number, owner),
            )
            return cursor.rowcount == 1

    def release(self, run: int, number: int, owner: str) -> None:
        """Give a part back undone."""
        with self._transaction() as cursor:
            cursor.execute(
                "UPDATE fast_part SET leased_until = NULL "
                "WHERE run = %s AND number = %s AND owner = %s AND result IS NULL",
                (run, number, owner),
            )

    def finish(self, run: int, number: int, owner: str, result: str) -> bool:
        """Hand the results of a part in; False when another node has it by now: they do not count then.

        The last part closes the run.
        """
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (run,))
            cursor.execute(
                "UPDATE fast_part SET result = %s "
                "WHERE run = %s AND number = %s AND owner = %s AND result IS NULL",
                (result, run, number, owner),
            )
            counts = cursor.rowcount == 1
            cursor.execute(
                "UPDATE fast_run SET closed = now() WHERE id = %s AND NOT EXISTS "
                "(SELECT FROM fast_part WHERE run = %s AND result IS NULL)",
                (run, run),
            )
        return counts

    def results(self, run: int) -> list[str | None]:
        """The results of every part in order, None for one that is not done."""
        with self._transaction() as cursor:
            rows = cursor.execute("SELECT result FROM fast_part WHERE run = %s ORDER BY number", (run,))
            return [row[0] for row in rows.fetchall()]

    def owners(self, run: int) -> dict[int, str]:
        """Who has, or had, each part."""
        with self._transaction() as cursor:
            rows = cursor.execute("SELECT number, owner FROM fast_part WHERE run = %s", (run,)).fetchall()
        return dict(rows)

    # known findings

    def known_findings(self) -> list[dict[str, Any]]:
        """Accepted findings of all workflows, as the entries of a known-findings file."""
        with self._transaction() as cursor:
            rows = cursor.execute("SELECT body FROM fast_known_finding ORDER BY fingerprint").fetchall()
        return [json.loads(row[0]) for row in rows]

    def accept_finding(self, fingerprint: str, entry: dict[str, Any]) -> None:
        """Accept a finding for all workflows; a later word on it replaces an earlier one."""
        with self._transaction() as cursor:
            cursor.execute(
                "INSERT INTO fast_known_finding (fingerprint, body) VALUES (%s, %s) "
                "ON CONFLICT (fingerprint) DO UPDATE SET body = excluded.body, changed = now()",
                (fingerprint, json.dumps(entry)),
            )

    def forget_finding(self, fingerprint: str) -> bool:
        """Take that back; False when it was not accepted."""
        with self._transaction() as cursor:
            cursor.execute("DELETE FROM fast_known_finding WHERE fingerprint = %s", (fingerprint,))
            return cursor.rowcount == 1


def _without_secret(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"
