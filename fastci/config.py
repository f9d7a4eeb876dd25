"""Every setting, once: the fields of `Settings` are the table of all variables.

A field's name in upper case is the variable (`test_run_rps` = `TEST_RUN_RPS`); the same row gives the command
line option, the action input, the component input, the Jenkins key and docs/variables.md.
"""

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from fastci.errors import ConfigurationError


class Mode(StrEnum):
    """What a node does (`CI_MODE`)."""

    RECORDING = "recording"
    TESTING = "testing"
    REPORT = "report"


class Side(StrEnum):
    """Who reads a setting: the node, the CI side around it, or both."""

    NODE = "node"
    CI = "CI"
    BOTH = "both"


ALL = tuple(Mode)
REC = (Mode.RECORDING,)
TEST = (Mode.TESTING,)
REPORT = (Mode.REPORT,)
JUDGED = (Mode.TESTING, Mode.REPORT)
EXPORTED = frozenset(("FAST_PROXY", "FAST_CA_FILE", "FAST_BROWSER_ARGS"))
"""What a recording sets for the tests, beside the variables that their tools know."""
BASE_IMAGE = "python:3.13-slim-bookworm"
"""scripts/pin-base writes it, and into the Dockerfile."""
RESERVED = ("FAST_", "TEST_RUN_", "TEST_RECORD_", "WALLARM_API_")
"""Beginnings of names that belong to FAST: a name that is nearly a known one is then a typing error."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How a value is read: `read` raises ValueError for what is not of this kind; `allowed` says what is."""

    name: str
    allowed: str
    read: Callable[[str], Any]


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One row of the table. `default` is the parsed value; `ours` marks what `wallarm/fast` does not have."""

    name: str
    kind: Kind
    default: Any
    help: str
    modes: tuple[Mode, ...]
    side: Side
    secret: bool
    ours: bool
    alias: str
    shown_default: str

    @property
    def option(self) -> str:
        """The name on the command line: `--test-run-rps`; the `FAST_` of our own names is left out."""
        return "--" + self.name.removeprefix("FAST_").lower().replace("_", "-")

    @property
    def input(self) -> str:
        """The name as an input of the action and of the component: `test-run-rps`."""
        return self.option.removeprefix("--")

    @property
    def key(self) -> str:
        """The name as a key of the Jenkins steps: `testRunRps`."""
        first, *rest = self.input.split("-")
        return first + "".join(word.capitalize() for word in rest)


def _row(
    kind: Kind,
    default: Any,
    help: str,
    modes: tuple[Mode, ...],
    *,
    side: Side = Side.NODE,
    secret: bool = False,
    ours: bool = False,
    alias: str = "",
    shown_default: str = "",
) -> Any:
    facts = {"kind": kind, "help": help, "modes": modes, "side": side, "secret": secret, "ours": ours,
             "alias": alias, "shown_default": shown_default}  # fmt: skip
    return dataclasses.field(default=default, metadata=facts)


def _text(allowed: str = "any text", pattern: str = r"(?s).*") -> Kind:
    def read(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return Kind(name="text", allowed=allowed, read=read)


def _whole(minimum: int, maximum: int, unit: str = "") -> Kind:
    def read(value: str) -> int:
        number = int(value) if re.fullmatch(r"[0-9]{1,18}", value) else minimum - 1
        if not minimum <= number <= maximum:
            raise ValueError
        return number

    unit = f" ({unit})" if unit else ""
    return Kind(name="whole number", allowed=f"a whole number from {minimum} to {maximum}{unit}", read=read)


def _duration(value: str) -> int:
    match = re.fullmatch(r"([0-9]{1,7})\s*([smhd]?)", value.lower())
    seconds = int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0
    if not 1 <= seconds <= 691200:
        raise ValueError
    return seconds


def _choice(*values: str) -> Kind:
    def read(value: str) -> str:
        if value.lower() in values:
            return value.lower()
        raise ValueError(_did_you_mean(value.lower(), values))

    return Kind(name="choice", allowed=f"one of {', '.join(values)}", read=read)


def _switch(value: str) -> bool:
    if value.lower() in ("true", "1", "yes", "on"):
        return True
    if value.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError(_did_you_mean(value.lower(), ("true", "false")))


def _processes(value: str) -> int:
    """0 stands for `auto`."""
    return 0 if value.lower() == "auto" else int(_whole(1, 64).read(value))


def _ports(value: str) -> tuple[int, ...]:
    port = _whole(1, 65535).read
    return tuple(port(word) for word in re.split(r"[\s,;]+", value) if word)


def _uri(value: str) -> str:
    if not re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[^\s/:@?#\[\]]+)(:[0-9]{1,5})?(/[^\s?#]*)?", value):
        raise ValueError
    port = re.match(r"https?://(?:\[[^\]]*\]|[^/:]+):([0-9]+)", value)
    if port and not 1 <= int(port[1]) <= 65535:
        raise ValueError
    return value.rstrip("/")


def _shard(value: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value)
    shard = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= shard[0] <= shard[1] <= 1000:
        raise ValueError
    return shard


def _address(value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    return host.strip("[]") or "0.0.0.0", int(_whole(0, 65535).read(port))


def _ip(value: str) -> str:
    return str(ipaddress.ip_address(value))


def _networks(value: str) -> tuple[str, ...]:
    words = [word for word in re.split(r"[\s,;]+", value) if word]
    return tuple(str(ipaddress.ip_network(word, strict=False)) for word in words)


def _hosts(value: str) -> str:
    for word in re.split(r"[\s,;]+", value):
        if word.startswith("~"):
            try:
                re.compile(word[1:])
            except re.error as error:
                raise ValueError(f"{word!r} is not a regular expression: {error}") from error
    return value


def _alternatives(value: str) -> tuple[str, ...]:
    return tuple(word.strip().lstrip(".") for word in value.split("|") if word.strip())


ANY = _text()
SWITCH = Kind(name="switch", allowed="true or false", read=_switch)
URI = Kind(name="URL", allowed="a URL like http://app-test:3000", read=_uri)
ADDRESS = Kind(name="address", allowed="HOST:PORT with a port from 0 to 65535", read=_address)
HOSTS = Kind(
    name="hosts",
    allowed="names, .name, *.name, name.*, (a|b), ~regex, separated by comma, semicolon or blank",
    read=_hosts,
)
IP = Kind(name="address", allowed="an IP address", read=_ip)
NETWORKS = Kind(
    name="networks",
    allowed="IP addresses and networks like 172.18.0.0/16, separated by comma",
    read=_networks,
)
DURATION = Kind(name="time", allowed="a time like 90s, 5m or 1h, at most 8d", read=_duration)
PORTS = Kind(name="ports", allowed="ports from 1 to 65535, separated by ;", read=_ports)
PROCESSES = Kind(name="count", allowed="auto or a whole number from 1 to 64", read=_processes)
SHARD = Kind(
    name="shard",
    allowed="i/n with 1 <= i <= n <= 1000; auto where the CI counts its parallel jobs itself",
    read=_shard,
)
ALTERNATIVES = Kind(
    name="list", allowed="file extensions separated by |, like jpg|ico|png", read=_alternatives
)
BUILD_ID = _text("letters, digits, dot, dash and underscore, at most 128", r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, parsed. An empty value counts as not set, as CI templates pass empty inputs on."""

    # the contract of wallarm/fast
    ci_mode: str = _row(_choice(*ALL), "", "what the node does", ALL)
    wallarm_api_token: str = _row(
        ANY, "", "token of the Wallarm cloud; passed on to `wallarm/fast`, ignored by this node", ALL,
        side=Side.BOTH, secret=True,
    )  # fmt: skip
    wallarm_api_host: str = _row(
        ANY, "", "Wallarm cloud, `us1.api.wallarm.com` or `api.wallarm.com`; ignored by this node", ALL,
        side=Side.BOTH,
    )  # fmt: skip
    wallarm_api_use_ssl: bool = _row(SWITCH, True, "ignored by this node", ALL, side=Side.BOTH)
    wallarm_api_ca_verify: bool = _row(SWITCH, False, "ignored by this node", ALL, side=Side.BOTH)
    test_record_name: str = _row(
        ANY, "", "name of the test record", REC, shown_default="`TestRecord Oct 08 12:18 UTC`"
    )
    inactivity_timeout: int = _row(
        _whole(1, 691200, "seconds"), 600, "recording ends by itself, with status 1, this long after the "
        "last baseline", REC,
    )  # fmt: skip
    allowed_hosts: str = _row(
        HOSTS, "", "which hosts are recorded, in the forms of nginx `server_name`; others are proxied only",
        REC, shown_default="all",
    )  # fmt: skip
    build_id: str = _row(
        BUILD_ID,
        "",
        "ties a test run to the record of the same workflow; `auto` around a node is what the CI "
        "calls the workflow",
        (*REC, *TEST),
        side=Side.BOTH,
    )
    test_record_id: str = _row(
        _text("an id like rec_0001", r"rec_\d+"), "", "the record to test", TEST, side=Side.BOTH,
        shown_default="the record of this `BUILD_ID`, else the last one",
    )  # fmt: skip
    test_run_name: str = _row(
        ANY, "", "name of the test run and of its report files", TEST,
        shown_default="`TestRun Sep 24 12:31 UTC`",
    )  # fmt: skip
    test_run_desc: str = _row(ANY, "", "description of the test run", TEST)
    test_run_policy_id: str = _row(
        ANY, "default", "the test policy: the name of a shipped one, or the path of a file", TEST,
        alias="POLICY_ID",
    )  # fmt: skip
    test_run_rps: int = _row(
        _whole(1, 1000), 0, "most requests a second over the whole run", TEST, shown_default="unlimited"
    )
    test_run_stop_on_first_fail: bool = _row(SWITCH, False, "stop the run at the first vulnerability", TEST)
    test_run_uri: str = _row(
        URI, "", "where the target is now; replaces the recorded scheme and authority", TEST,
        shown_default="as recorded",
    )  # fmt: skip
    file_extensions_to_exclude: tuple[str, ...] = _row(
        ALTERNATIVES, (), "baselines of such paths are not tested, `jpg|ico|png`", TEST
    )
    workers: int = _row(_whole(1, 1000), 10, "baselines tested at once", TEST)
    processes: int = _row(
        PROCESSES, 1, "processes that share the baselines; `auto` is half of the CPUs", TEST
    )
    fast_shard: tuple[int, int] = _row(
        SHARD, (1, 1), "which part of the test sets this job tests, `2/5`; the results of all parts are put "
        "together by `fastci report --merge`", TEST, side=Side.BOTH, ours=True, shown_default="all of them",
    )  # fmt: skip
    test_run_id: str = _row(
        _text("an id like tr_0001", r"tr_\d+"),
        "",
        "the test run to report",
        REPORT,
        shown_default="the last one",
    )
    git_extensions: str = _row(ANY, "", "git repository whose root holds custom extensions", TEST)
    backend_https_ports: tuple[int, ...] = _row(
        PORTS, (443,), "ports that are spoken to with TLS, `443;3000;8091`", (*REC, *TEST)
    )
    ca_cert: str = _row(
        ANY, "", "PEM file: authority that signs the intercepted hosts", REC,
        shown_default="`/etc/nginx/ssl/nginx.crt` where it exists, else made at the first start",
    )  # fmt: skip
    ca_key: str = _row(
        ANY, "", "PEM file: its private key", REC, shown_default="`/etc/nginx/ssl/nginx.key`, likewise"
    )
    # the open node's own
    test_run_budget: int = _row(
        DURATION, 0, "how long a run may take, reports included, `5m`: the riskiest baselines are tested "
        "first, and what was tested in that time is the result", TEST, ours=True,
        shown_default="as long as it takes",
    )  # fmt: skip
    fast_run_timeout: int = _row(
        DURATION, 0, "a run that takes longer is ended and has failed technically", TEST, ours=True,
        shown_default="none",
    )  # fmt: skip
    fast_resume: bool = _row(
        SWITCH, False, "go on with the last run that did not come to its end: what it has done is not done "
        "again", TEST, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_request_timeout: int = _row(
        _whole(1, 600, "seconds"), 30, "how long the answer to one test request may take", TEST, ours=True
    )
    fast_progress_every: int = _row(
        _whole(1, 3600, "seconds"), 10, "how often a run says how far it is", TEST, ours=True
    )
    fast_skip_duplicates: bool = _row(
        SWITCH, True, "test one of several baselines that have the same route, points and kind of values",
        TEST, ours=True,
    )  # fmt: skip
    fast_baseline_rps: int = _row(
        _whole(1, 500),
        0,
        "most requests a second for one baseline",
        TEST,
        ours=True,
        shown_default="unlimited",
    )
    fast_seed: int = _row(
        _whole(0, 2**63 - 1),
        1,
        "fixes order, markers and random places: same input, same run",
        TEST,
        ours=True,
    )
    fast_listen: tuple[str, int] = _row(
        ADDRESS, ("0.0.0.0", 8080), "address of the recording proxy; port 0 takes a free one", REC, ours=True
    )
    fast_store: str = _row(
        ANY, "/var/lib/fast", "folder of test records and runs; or a database that workflows share, "
        "`postgresql://user@host/name`, its password in `WALLARM_API_TOKEN`", ALL, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_scratch: str = _row(
        ANY, "/var/lib/fast", "folder for what a node works with where `FAST_STORE` is a database", ALL,
        ours=True,
    )  # fmt: skip
    fast_store_lease: int = _row(
        _whole(3, 3600, "seconds"), 60, "how long a part of a shared test run stays with a node that says "
        "nothing any more", TEST, ours=True,
    )  # fmt: skip
    fast_record_key: str = _row(
        _text("64 hexadecimal digits, as `openssl rand -hex 32` prints them", r"[0-9A-Fa-f]{64}"), "",
        "encrypts the messages of new records, and opens those of records that are", (*REC, *TEST),
        side=Side.BOTH, secret=True, ours=True, shown_default="records are not encrypted",
    )  # fmt: skip
    fast_record_id: str = _row(
        _text("an id like rec_0001", r"rec_\d+"), "", "id to give to the record that is made", REC, ours=True,
        shown_default="the next free one",
    )  # fmt: skip
    fast_run_id: str = _row(
        _text("an id like tr_0001", r"tr_\d+"), "", "id to give to the test run that is made; its reports "
        "are left to whoever takes the results file", TEST, ours=True, shown_default="the next free one",
    )  # fmt: skip
    fast_reports: str = _row(
        ANY, "/opt/reports", "folder the reports are written to", (*TEST, *REPORT), ours=True
    )
    fast_extensions: str = _row(ANY, "/opt/custom_extensions", "folder of custom extensions", TEST, ours=True)
    fast_policies: str = _row(ANY, "/opt/policies", "folder of own test policies", TEST, ours=True)
    fast_auths: str = _row(ANY, "/opt/dsl_auths", "folder of the credentials file", TEST, ours=True)
    fast_login_command: str = _row(
        ANY, "", "shell command that prints credentials for every test request, as headers or as a section "
        "`modify`; it is run at the start and again when the session is lost. What it prints is secret, the "
        "command is not", TEST, ours=True, shown_default="none",
    )  # fmt: skip
    fast_max_body: int = _row(
        _whole(1, 1 << 30, "bytes"), 8 << 20, "bodies are recorded up to this size", REC, ours=True
    )
    fast_tunnel_hosts: str = _row(
        HOSTS, "", "hosts whose TLS is passed through untouched and not recorded, in the forms of "
        "`ALLOWED_HOSTS`", REC, ours=True,
    )  # fmt: skip
    fast_proxy_auth: str = _row(
        _text("name:password", r"[^\s:]+:\S+"), "", "credentials that clients must give to the recording "
        "proxy", REC, secret=True, ours=True, shown_default="none asked",
    )  # fmt: skip
    fast_hand_out: bool = _row(
        SWITCH, False, "let clients take the record from http://NODE:8080/record, for a job whose node is a "
        "service that it cannot copy files from", REC, ours=True,
    )  # fmt: skip
    fast_link_local: bool = _row(
        SWITCH, False, "let the proxy and the tests reach link-local addresses, where clouds keep their "
        "metadata", (*REC, *TEST), ours=True,
    )  # fmt: skip
    fast_target_ca: str = _row(
        ANY, "", "PEM file of the authorities that the target's certificate must come from, or `system` for "
        "those of this system", (*REC, *TEST), ours=True, shown_default="not verified",
    )  # fmt: skip
    fast_target_cert: str = _row(
        ANY, "", "PEM file: client certificate, its key with it, that is shown to targets that ask for one",
        (*REC, *TEST), ours=True,
    )  # fmt: skip
    fast_upstream_proxy: str = _row(
        _text("a URL like http://proxy:3128 or http://name:password@proxy:3128",
              r"http://([^\s:@/?#]+:[^\s@/?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^\s/:@?#\[\]]+):[0-9]{1,5}/?"),
        "", "HTTP proxy through which targets are reached", (*REC, *TEST), secret=True, ours=True,
        shown_default="reached directly",
    )  # fmt: skip
    fast_no_proxy: str = _row(
        HOSTS, "", "hosts that are reached without `FAST_UPSTREAM_PROXY`, in the forms of `ALLOWED_HOSTS`",
        (*REC, *TEST), ours=True, shown_default="localhost and loopback addresses",
    )  # fmt: skip
    fast_public_targets: str = _row(
        HOSTS, "", "hosts at public addresses that may be attacked, in the forms of `ALLOWED_HOSTS`; nothing "
        "is sent to others", TEST, ours=True, shown_default="none",
    )  # fmt: skip
    fast_oob: bool = _row(
        SWITCH, True, "listen for look-ups and requests that test requests make the target do", TEST,
        ours=True,
    )  # fmt: skip
    fast_oob_domain: str = _row(
        _text("a domain name", r"(?=.{1,200}$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+"), "",
        "domain whose names are looked up at this node: delegated to it, or asked of it by the target's "
        "resolver", TEST, ours=True, shown_default="none: only requests to the node's address are heard",
    )  # fmt: skip
    fast_oob_address: str = _row(
        IP, "", "where the target reaches this node", TEST, ours=True,
        shown_default="the address from which the node reaches the target",
    )  # fmt: skip
    fast_oob_listen_http: tuple[str, int] = _row(
        ADDRESS, ("0.0.0.0", 0), "address of the listener for requests (HTTP, HTTPS, LDAP)", TEST, ours=True,
        shown_default="a free port, with `FAST_OOB_DOMAIN` port 80",
    )  # fmt: skip
    fast_oob_listen_dns: tuple[str, int] = _row(
        ADDRESS, ("0.0.0.0", 53), "address of the name server, UDP and TCP; it answers only with "
        "`FAST_OOB_DOMAIN`", TEST, ours=True,
    )  # fmt: skip
    fast_oob_server: str = _row(
        URI, "", "server of interactsh's kind that listens in place of this node", TEST, ours=True,
        shown_default="this node listens itself",
    )  # fmt: skip
    fast_oob_token: str = _row(
        ANY, "", "what `FAST_OOB_SERVER` wants as authorization", TEST, secret=True, ours=True
    )
    fast_oob_sources: tuple[str, ...] = _row(
        NETWORKS, (), "addresses that the target calls from beside its own: its workers, its way out", TEST,
        ours=True, shown_default="see docs/oob.md",
    )  # fmt: skip
    fast_oob_wait: int = _row(
        _whole(0, 3600, "seconds"), 3, "how long a run still listens after its last test request that may be "
        "called back", TEST, ours=True,
    )  # fmt: skip
    fast_xss_browser: str = _row(
        ANY, "", "open pages with cross-site scripting in a headless Chromium to see it run: `auto`, or the "
        "path of the program", TEST, ours=True, shown_default="off",
    )  # fmt: skip
    fast_exit_codes: str = _row(
        _choice("simple", "detailed"), "", "simple: 0 passed, 1 anything else. detailed: 0 passed, "
        "1 vulnerabilities, 2 usage or configuration, 3 technical failure, 4 interrupted", ALL,
        side=Side.BOTH, ours=True, shown_default="simple for `fastci node`, detailed elsewhere",
    )  # fmt: skip
    # the gate
    min_baselines: int = _row(
        _whole(0, 1_000_000), 1, "the job fails, with status 3, when the record holds fewer baselines",
        JUDGED, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_fail_on: str = _row(
        _choice("low", "medium", "high", "never"), "low", "the lowest severity of a finding that fails the "
        "job; `never` only reports", JUDGED, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_fail_confidence: str = _row(
        _choice("tentative", "firm", "confirmed"), "confirmed", "how sure a finding must be to fail the job",
        JUDGED, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_fail_new_only: bool = _row(
        SWITCH, False, "only findings that the results of `FAST_COMPARE_WITH` lack fail the job", JUDGED,
        side=Side.CI, ours=True,
    )  # fmt: skip
    fast_fail_on_errors: bool = _row(
        SWITCH, True, "baselines that could not be tested for technical reasons fail the job, with status 3",
        JUDGED, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_fail_incomplete: str = _row(
        _choice("interrupted", "cut", "never"), "interrupted", "which run that did not come to its end fails "
        "the job: an interrupted one, with status 4; with `cut` one that its budget cut short too, with "
        "status 3; or none", JUDGED, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_min_coverage: int = _row(
        _whole(0, 100, "percent"), 0, "the job fails, with status 3, when fewer of the possible pairs of "
        "point and vulnerability type were tested", JUDGED, side=Side.BOTH, ours=True,
    )  # fmt: skip
    fast_known_findings: str = _row(
        ANY, "", "YAML file of the findings that are accepted and do not fail the job", JUDGED, side=Side.CI,
        ours=True, shown_default="`known-findings.yml` in the workspace",
    )  # fmt: skip
    fast_compare_with: str = _row(
        ANY, "", "results file of an earlier run: findings are told as new or unchanged, the missing as "
        "fixed", JUDGED, side=Side.CI, ours=True, shown_default="no comparison",
    )  # fmt: skip
    # the CI side
    target_uri: str = _row(
        URI, "", "where the functional tests find the target; probed before recording, and the only host "
        "recorded unless `ALLOWED_HOSTS` says otherwise", (*REC, *TEST), side=Side.CI, ours=True,
        shown_default="not probed",
    )  # fmt: skip
    fast_test_results: str = _row(
        ANY, "", "JUnit files that the functional tests write, `reports/*.xml`, several separated by comma: "
        "the times in them tell which test sent a request that does not say so itself", (*REC, *TEST),
        side=Side.CI, ours=True, shown_default="only the header `X-Fast-Test` tells",
    )  # fmt: skip
    fast_runtime: str = _row(
        _choice("auto", "docker", "process"), "auto", "run the node as a container, as a process, or as a "
        "container if an engine answers", ALL, side=Side.CI, ours=True,
    )  # fmt: skip
    fast_image: str = _row(
        ANY, "", "image of the node; `wallarm/fast` works too", ALL, side=Side.CI, ours=True,
        shown_default="this project's node",
    )  # fmt: skip
    fast_base_image: str = _row(
        ANY, BASE_IMAGE, "image that this project's node image is built on where it is not there yet", ALL,
        side=Side.CI, ours=True,
    )  # fmt: skip
    fast_network: str = _row(
        ANY, "", "Docker network that the node joins; `host` for the machine's own", ALL, side=Side.CI,
        ours=True, shown_default="the one that the job itself is in",
    )  # fmt: skip
    fast_memory: str = _row(
        _text("a size like 512m or 4g", r"[1-9]\d{0,5}[mgMG]"), "4g", "memory that the node's container may "
        "use", ALL, side=Side.CI, ours=True,
    )  # fmt: skip
    fast_port: int = _row(
        _whole(0, 65535), 0, "port of this machine where the recording proxy is published", REC,
        side=Side.CI, ours=True, shown_default="a free one",
    )  # fmt: skip
    fast_workspace: str = _row(
        ANY, ".fast", "folder for records, reports, extensions and the CA certificate", ALL, side=Side.CI,
        ours=True,
    )  # fmt: skip
    fast_test_on_failure: bool = _row(
        SWITCH, False, "go on to testing although the functional tests failed", TEST, side=Side.CI, ours=True
    )
    fast_comment: bool = _row(
        SWITCH, False, "keep one comment with the outcome on the pull or merge request", (*TEST, *REPORT),
        side=Side.CI, ours=True,
    )  # fmt: skip
    fast_upload_sarif: bool = _row(
        SWITCH, False, "hand the findings to GitHub's code scanning", (*TEST, *REPORT), side=Side.CI,
        ours=True,
    )  # fmt: skip
    fast_github_token: str = _row(
        ANY, "", "token for `FAST_COMMENT` and `FAST_UPLOAD_SARIF`; reaches neither the node nor the tests",
        (*TEST, *REPORT), side=Side.CI, secret=True, ours=True, shown_default="the job's own in the action",
    )  # fmt: skip
    fast_gitlab_token: str = _row(
        ANY, "", "token for `FAST_COMMENT` on GitLab, scope `api`; reaches neither the node nor the tests",
        (*TEST, *REPORT), side=Side.CI, secret=True, ours=True, shown_default="no comment",
    )  # fmt: skip
    fast_start_timeout: int = _row(
        _whole(1, 3600, "seconds"),
        60,
        "how long a node may take to become ready",
        ALL,
        side=Side.CI,
        ours=True,
    )
    fast_stop_timeout: int = _row(
        _whole(1, 3600, "seconds"), 20, "how long a node may take to end after it was asked to", ALL,
        side=Side.CI, ours=True,
    )  # fmt: skip
    fast_deadline: int = _row(
        _whole(60, 864000, "seconds"), 21600, "what is left of a crashed job is swept by a later one after "
        "this", ALL, side=Side.CI, ours=True,
    )  # fmt: skip

    @property
    def shares_store(self) -> bool:
        """Whether records and runs are in a database that other nodes use too."""
        return self.fast_store.startswith(("postgresql://", "postgres://"))

    @property
    def store_folder(self) -> Path:
        """Where records and runs are files."""
        return Path(self.fast_scratch if self.shares_store else self.fast_store)


def _table() -> Iterator[Variable]:
    for item in dataclasses.fields(Settings):
        yield Variable(name=item.name.upper(), default=item.default, **item.metadata)


VARIABLES: dict[str, Variable] = {variable.name: variable for variable in _table()}


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from variables. Raises ConfigurationError with every fault at once.

    Names that are not in the table are left alone, unless they are nearly one of ours.
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    known = {**VARIABLES, **{v.alias: v for v in VARIABLES.values() if v.alias}}
    for name in sorted(environ):
        text = environ[name].strip()
        if name not in known:
            ours = name.startswith(RESERVED) and name not in EXPORTED
            near = _did_you_mean(name, known) if ours else ""
            if near:
                faults.append(f"{name}: there is no such variable; {near}")
            continue
        variable = known[name]
        if not text or (name == variable.alias and environ.get(variable.name, "").strip()):
            continue
        try:
            values[variable.name.lower()] = variable.kind.read(text)
        except ValueError as error:
            shown = "(secret)" if variable.secret else repr(text[:80])
            detail = f"; {error}" if _is_ours(error) else ""
            faults.append(f"{name}={shown} is not allowed: must be {variable.kind.allowed}{detail}")
    settings = Settings(**values)
    faults += _contradictions(settings)
    if faults:
        raise ConfigurationError(faults)
    return settings


def node_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """What of these variables a node reads, as they were given: the environment of its container."""
    names = [v.name for v in VARIABLES.values() if v.side is not Side.CI]
    names += [v.alias for v in VARIABLES.values() if v.alias]
    return {name: environ[name] for name in names if environ.get(name, "").strip()}


_PASSWORD = re.compile(r"[a-z]+://[^/@\s:]*:([^@\s]+)@.*|[^\s:/]+:(?!//)(\S+)")
"""In a URL with credentials, or in `name:password`."""


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """The values that must never be printed: secret variables, the passwords in them and in FAST_STORE."""
    values = {v.name: environ.get(v.name, "").strip() for v in VARIABLES.values()}
    found = [value for name, value in values.items() if value and VARIABLES[name].secret]
    inner = [_PASSWORD.fullmatch(value) for value in (*found, values["FAST_STORE"])]
    return list(dict.fromkeys((*found, *(match[1] or match[2] for match in inner if match))))


def secrets_of(settings: Settings) -> list[str]:
    """The same of settings that were read already."""
    return secret_values({v.name: str(getattr(settings, v.name.lower())) for v in VARIABLES.values()})


def _contradictions(settings: Settings) -> list[str]:
    faults = []
    if bool(settings.ca_cert) != bool(settings.ca_key):
        have, lack = ("CA_CERT", "CA_KEY") if settings.ca_cert else ("CA_KEY", "CA_CERT")
        faults.append(f"{have} is set without {lack}: an authority needs both its certificate and its key")
    if settings.fast_fail_new_only and not settings.fast_compare_with:
        faults.append(
            "FAST_FAIL_NEW_ONLY is set without FAST_COMPARE_WITH: what is new can only be told against the "
            "results of an earlier run"
        )
    if settings.test_run_rps and settings.fast_baseline_rps > settings.test_run_rps:
        faults.append(
            f"FAST_BASELINE_RPS={settings.fast_baseline_rps} is above TEST_RUN_RPS={settings.test_run_rps}: "
            "one baseline cannot have more than the whole run"
        )
    return faults


def _is_ours(error: ValueError) -> bool:
    return bool(str(error)) and not str(error).startswith("invalid literal")


def _did_you_mean(word: str, known: "tuple[str, ...] | Mapping[str, Any]") -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.75)
    return f"did you mean {near[0]}?" if near else ""


def render_variables() -> str:
    """docs/variables.md: the whole table."""
    lines = [
        "# Variables",
        "",
        "<!-- generated from fastci/config.py by `fastci generate docs`; do not edit -->",
        "",
        "Each variable is also a command line option, an input of the action and of the GitLab component,",
        "and a key of the Jenkins steps. Rows marked *ours* do not exist in `wallarm/fast`. An empty value",
        "counts as not set.",
        "",
        "| variable | option | modes | read by | allowed | default | what it does |",
        "|---|---|---|---|---|---|---|",
    ]
    for v in VARIABLES.values():
        modes = "all" if v.modes == ALL else ", ".join(v.modes)
        default = v.shown_default or (f"`{_shown(v)}`" if v.default not in ("", (), 0) else "")
        notes = "".join((" *ours*" if v.ours else "", " *secret*" if v.secret else ""))
        alias = f" (also `{v.alias}`)" if v.alias else ""
        allowed = v.kind.allowed.replace("|", "\\|")
        text = v.help.replace("|", "\\|")
        cells = (f"`{v.name}`{alias}", f"`{v.option}`", modes, str(v.side), allowed, default, text + notes)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(variable: Variable) -> str:
    if variable.kind is ADDRESS:
        return "{}:{}".format(*variable.default)
    if isinstance(variable.default, tuple):
        return ";".join(str(item) for item in variable.default)
    return str(variable.default).lower() if variable.default in (True, False) else str(variable.default)
