"""The workspace folder: what a job keeps between its steps and after them.

records/   test records, one file each        reports/       what people read
runs/      results files                      latest/        the reports of the last run, fixed names
logs/      console lines of the nodes         known-findings.yml   what is accepted
ca.pem     the authority to trust             bundle.pem     the same with everybody else's
proxy.sh, proxy.env    the settings for tests  node_proxy.cjs  what makes an older Node heed them
pytest/    tells the recorder which test of pytest sends a request
nodes/     embedded nodes while they run
extensions/, auths/, policies/                what the user gives to the nodes
"""

import hashlib
import os
import platform
import re
import shlex
from collections.abc import Container, Mapping
from pathlib import Path

from fastci.config import Settings
from fastci.errors import FatalError, TechnicalError, UsageError
from fastci.lifecycle.runtime import NodeFile, Place

_GIVEN = {Place.EXTENSIONS: "extensions", Place.AUTHS: "auths", Place.POLICIES: "policies"}
_VARIABLES = {
    "FAST_EXTENSIONS": Place.EXTENSIONS,
    "FAST_AUTHS": Place.AUTHS,
    "FAST_POLICIES": Place.POLICIES,
}


class Workspace:
    """The folders of one job. `reports` may lie elsewhere."""

    def __init__(self, root: Path, *, reports: Path | None = None) -> None:
        self.root = root.absolute()
        self.records = self.root / "records"
        self.runs = self.root / "runs"
        self.logs = self.root / "logs"
        self.latest = self.root / "latest"
        self.nodes = self.root / "nodes"
        self.reports = reports.absolute() if reports else self.root / "reports"
        self.ca_file = self.root / "ca.pem"
        self.bundle_file = self.root / "bundle.pem"
        self.trust_store = self.root / "truststore.p12"
        self.node_hook = self.root / "node_proxy.cjs"
        self.pytest_folder = self.root / "pytest"
        self.environment_file = self.root / "proxy.env"
        self.script_file = self.root / "proxy.sh"

    def prepare(self) -> None:
        """Make the folders and try them. Raises TechnicalError now rather than after an hour of testing."""
        for folder in (self.root, self.records, self.runs, self.logs, self.nodes, self.reports):
            probe = folder / f".writable-{os.getpid()}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe.touch()
                probe.unlink()
            except OSError as error:
                what = "report folder" if folder == self.reports else "workspace folder"
                raise TechnicalError(
                    f"the {what} {folder} cannot be written",
                    why=error.strerror or str(error),
                    hint=f"give the current user ({os.getuid()}) write access to it, or name another one in "
                    f"{'FAST_REPORTS' if folder == self.reports else 'FAST_WORKSPACE'}",
                ) from error

    def job_key(self, job: str) -> str:
        """Names this workspace and CI job on a machine that may run many at once; made of no secret."""
        text = "\n".join((platform.node(), str(self.root.resolve()), job))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def write_environment(self, environment: Mapping[str, str]) -> None:
        """Keep the proxy settings for later steps: proxy.sh for a shell, proxy.env with a NAME=VALUE a line.

        proxy.env is read by shells too, so it lacks what would need quotes there.
        """
        lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
        self.script_file.write_text("\n".join(lines) + "\n")
        plain = {name: value for name, value in environment.items() if re.fullmatch(r"[\w./:,@%+=-]*", value)}
        self.environment_file.write_text("".join(f"{name}={plain[name]}\n" for name in sorted(plain)))

    def reserve_record(self) -> str:
        """The next free record id, kept for the caller: two jobs in one workspace never get the same."""
        return _reserve(self.records, "rec_", ".sqlite")

    def reserve_run(self, shard: tuple[int, int] = (1, 1)) -> str:
        """The next free test run id, likewise; other shards get other ids, as their files meet later."""
        return _reserve(self.runs, "tr_", ".json", shard)

    def give_up(self, record_id: str = "", run_id: str = "") -> None:
        """Forget a reservation that nothing came of."""
        for path in (self.records / f"{record_id}.sqlite", self.runs / f"{run_id}.json"):
            if path.is_file() and not path.stat().st_size:
                path.unlink(missing_ok=True)

    def has_record(self, record_id: str) -> bool:
        path = self.records / f"{record_id}.sqlite"
        return path.is_file() and path.stat().st_size > 0

    def record_files(self, record_id: str = "") -> list[NodeFile]:
        """One record, or all of them, each with the log beside it that a killed node leaves.

        Raises UsageError when there is none.
        """
        paths = [p for p in sorted(self.records.glob(f"{record_id or 'rec_*'}.sqlite*")) if p.stat().st_size]
        if not paths:
            known = sorted(p.stem for p in self.records.glob("rec_*.sqlite") if p.stat().st_size)
            what = f"there is no test record {record_id}" if record_id else "there is no test record"
            raise UsageError(
                f"{what} in {self.records}",
                why=f"known records: {', '.join(known) or 'none'}",
                hint="record first: fastci run, or fastci record and fastci stop",
            )
        return [NodeFile(place=Place.RECORDS, source=path) for path in paths]

    def kept_run(self, run_id: str = "") -> Path | None:
        """The results file of that run, of the last one if none is named; None where there is none."""
        paths = [path for path in sorted(self.runs.glob(f"{run_id or 'tr_*'}.json")) if path.stat().st_size]
        return paths[-1] if paths else None

    def run_files(self) -> list[NodeFile]:
        """All results files."""
        paths = [p for p in sorted(self.runs.glob("tr_*.json")) if p.stat().st_size]
        return [NodeFile(place=Place.RUNS, source=path) for path in paths]

    def interrupted_run(self) -> str:
        """The latest run that left a journal: it did not come to its end. Empty where there is none."""
        journals = sorted(self.runs.glob("tr_*.journal"), key=lambda path: path.stat().st_mtime)
        return journals[-1].name.partition(".")[0] if journals else ""

    def journal_files(self, run_id: str) -> list[NodeFile]:
        """What an interrupted run had written down."""
        paths = sorted(self.runs.glob(f"{run_id}.*.journal")) if run_id else []
        return [NodeFile(place=Place.RUNS, source=path) for path in paths]

    def drop_journals(self, run_id: str, *, but: Container[Path]) -> None:
        """Forget the journals of a run, all but those that a node just gave back."""
        for file in self.journal_files(run_id):
            if file.source not in but:
                file.source.unlink(missing_ok=True)

    def given_folder(self, variable: str, settings: Settings, given: Container[str]) -> Path:
        """Where extensions, credentials or policies lie: the folder that the variable names where it is one
        of the `given`, else the workspace's own."""
        if variable in given:
            return Path(getattr(settings, variable.lower()))
        return self.root / _GIVEN[_VARIABLES[variable]]

    def given_files(self, settings: Settings, given: "set[str]") -> list[NodeFile]:
        """What the user gives to a testing node: extensions, credentials, policies.

        `given` are the names of the variables that are set; a folder that one of them names takes the place
        of the workspace's own. Raises UsageError for one that is not there.
        """
        folders = {}
        for variable, place in _VARIABLES.items():
            folders[place] = self.given_folder(variable, settings, given)
            if variable in given and not folders[place].is_dir():
                raise UsageError(f"{variable}: there is no folder {folders[place]}")
        files = [
            NodeFile(place=place, source=path)
            for place, folder in folders.items()
            for path in sorted(folder.glob("*.y*ml"))
        ]
        policy = Path(settings.test_run_policy_id)
        if policy.suffix in (".yml", ".yaml") or "/" in settings.test_run_policy_id:
            if not policy.is_file():
                raise UsageError(f"TEST_RUN_POLICY_ID: there is no file {policy}")
            files = [f for f in files if (f.place, f.source.name) != (Place.POLICIES, policy.name)]
            files.append(NodeFile(place=Place.POLICIES, source=policy, variable="TEST_RUN_POLICY_ID"))
        return files

    def authority_files(self, settings: Settings) -> list[NodeFile]:
        """CA_CERT and CA_KEY for a recording node. Raises UsageError for one that is not there."""
        files = []
        for variable in ("CA_CERT", "CA_KEY"):
            value = getattr(settings, variable.lower())
            if value and not Path(value).is_file():
                raise UsageError(f"{variable}: there is no file {value}")
            if value:
                files.append(NodeFile(place=Place.AUTHORITY, source=Path(value), variable=variable))
        return files


def port_taken(port: int, why: str = "") -> FatalError:
    """The error for a port of this machine that somebody else listens on."""
    return UsageError(
        f"port {port} of this machine is taken",
        why=why,
        hint="leave FAST_PORT empty for a free one, or end what listens there",
    )


def _reserve(folder: Path, prefix: str, suffix: str, shard: tuple[int, int] = (1, 1)) -> str:
    mine, shards = shard
    taken = [path.name[len(prefix) : -len(suffix)] for path in folder.glob(f"{prefix}*{suffix}")]
    number = max((int(digits) for digits in taken if digits.isdigit()), default=0)
    while True:
        number += 1
        if number % shards != mine % shards:
            continue
        name = f"{prefix}{number:04d}"
        try:
            os.close(os.open(folder / f"{name}{suffix}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        except OSError as error:
            raise TechnicalError(f"{folder} cannot be written", why=str(error)) from error
        return name
