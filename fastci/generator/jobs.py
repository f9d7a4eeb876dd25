"""What the jobs of a definition do: their steps as shell lines, their variables."""

import shlex
from dataclasses import dataclass, replace

from fastci.config import VARIABLES, Mode, Side
from fastci.generator.options import NODE_PORT, Options
from fastci.generator.templates import as_command, quote_groovy


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The shell lines of a job, the same on every platform that has no action or library of ours.

    Each is a script for `sh -e`, run in the workspace; empty where the options do not ask for it.
    """

    install: str
    prepare: str
    start: str
    stop: str
    run: str
    record: str
    tests: str
    end: str
    test: str
    merge: str
    clean: str


def plan(options: Options) -> Plan:
    """The steps of a job as shell lines."""
    compose = f"docker compose --file {shlex.quote(options.compose)}" if options.compose else ""
    return Plan(
        install=INSTALL,
        prepare=options.prepare,
        start=options.start or (f"{compose} up --detach --wait" if compose else ""),
        stop=options.stop or (f"{compose} down --volumes" if compose else ""),
        run=f"fastci run -- {as_command(options.tests)}",
        record="fastci record --quiet",
        tests=f". .fast/proxy.sh\n{options.tests}",
        end="fastci stop",
        test="fastci test",
        merge="fastci report --merge .fast/runs/tr_*.json",
        # A job whose installation failed has its own message already.
        clean="if command -v fastci >/dev/null; then fastci clean; fi",
    )


@dataclass(frozen=True, kw_only=True)
class Step:
    """One script of a job; `ours` when it calls fastci or installs it.

    `apart`: it is told of the proxy, which no later step may be where steps share a shell.
    """

    name: str
    script: str
    ours: bool = False
    apart: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the platforms without an integration of their own are told it.

    `takes` and `keeps` say that the record comes from, or goes to, another job; `always` runs last, whatever
    happened. `shards` above 1: it runs so often in parallel, and its results go to the job that `merges`.
    `recorder`: the node is a service beside its steps; `in_node`: its image is the node's.
    """

    id: str
    name: str
    steps: list[Step]
    always: list[Step]
    needs: str = ""
    takes: bool = False
    keeps: bool = False
    reports: bool = False
    shards: int = 1
    merges: bool = False
    recorder: bool = False
    in_node: bool = False


def jobs(platform: str, options: Options) -> list[Job]:
    """The jobs of a definition, each step a script of its own shell."""
    p = plan(options)
    if options.node == "service":
        return _service_jobs(platform, options, p)

    def ours(name: str, script: str) -> Step:
        return Step(name=name, script=f"{PATH}\n{script}", ours=True)

    install = Step(name="Install fastci", script=p.install, ours=True)
    before = [
        install,
        Step(name="Prepare", script=p.prepare),
        Step(name="Start the target", script=p.start),
    ]
    before = [step for step in before if step.script]
    always = [ours("Clean", p.clean), *([Step(name="Stop the target", script=p.stop)] if p.stop else [])]
    test = ours("Test the target", p.test)
    if options.flow == "run":
        run = ours("Record the functional tests and test the target", p.run)
        return [Job(id="fast", name="FAST", steps=[*before, run], always=always, reports=True)]
    sharded = options.shards > 1
    tail = [
        Job(
            id="fast-verdict", name="FAST verdict", steps=[install, ours("Put the shards together", p.merge)],
            always=[], needs="fast-test" if options.flow == "jobs" else "fast", reports=True, merges=True,
        )
    ] if sharded else []  # fmt: skip
    if options.flow == "test":
        alone = Job(
            id="fast", name="FAST testing" if sharded else "FAST", steps=[*before, test], always=always,
            reports=not sharded, shards=options.shards,
        )  # fmt: skip
        return [alone, *tail]
    record = [
        ours("Start recording", p.record),
        Step(name="Run the functional tests", script=p.tests, apart=True),
        ours("Stop recording", p.end),
    ]
    return [
        Job(id="fast-record", name="FAST recording", steps=[*before, *record], always=always, keeps=True),
        Job(
            id="fast-test", name="FAST testing", steps=[*before, test], always=always,
            needs="fast-record", takes=True, reports=not sharded, shards=options.shards,
        ),
        *tail,
    ]  # fmt: skip


def _service_jobs(platform: str, options: Options, p: Plan) -> list[Job]:
    """The jobs of a node that is a service of the tests, and the image of the testing job."""
    test = [Step(name="Test the target", script=p.test, ours=True)]
    sharded = options.shards > 1
    found = [
        Job(
            id="fast-test", name="FAST testing", steps=test, always=[], needs="fast-record", takes=True,
            reports=not sharded, shards=options.shards, in_node=True,
        )
    ]  # fmt: skip
    if options.flow == "jobs":
        record = Step(name="Record the functional tests", script=service_script(platform, options))
        steps = [Step(name="Prepare", script=p.prepare)] if p.prepare else []
        found.insert(0, Job(id="fast-record", name="FAST recording", steps=[*steps, record], always=[],
                            keeps=True, recorder=True))  # fmt: skip
    else:
        found = [replace(found[0], id="fast", name="FAST", needs="", takes=False)]
    if sharded:
        merge = Step(name="Put the shards together", script=p.merge, ours=True)
        found.append(Job(id="fast-verdict", name="FAST verdict", steps=[merge], always=[], needs=found[-1].id,
                         reports=True, merges=True, in_node=True))  # fmt: skip
    return found


def environment(platform: str, options: Options) -> dict[str, str]:
    """The variables that the steps of ours need, for platforms where a job sets them by name."""
    found = {"FASTCI_PACKAGE": PACKAGE.format(options.repository, options.ref)}
    found |= workflow_settings(options)
    if options.target_image and "TARGET_URI" not in found:
        found["TARGET_URI"] = f"http://{service_host(platform, options, 'app')}:{options.target_port}"
    if options.node == "service" and platform != "gitlab":
        # The image of the job is the node, and one record is there: nothing to install, nothing to tie.
        del found["FASTCI_PACKAGE"]
        found.pop("FAST_IMAGE", None)
        if "BUILD_ID" not in options.settings:
            found.pop("BUILD_ID", None)
        found["FAST_RUNTIME"] = "process"
    return found


def service_host(platform: str, options: Options, name: str) -> str:
    """Where a job reaches its service of this name: some platforms have names, others share localhost."""
    named = platform == "gitlab" or (platform == "github" and options.node == "service")
    return name if named else "127.0.0.1"


def recorder_environment(platform: str, options: Options) -> dict[str, str]:
    """The variables of a node that records as a service of the tests."""
    # The job takes the record from /record.
    found = {"CI_MODE": "recording", "FAST_HAND_OUT": "true"}
    if options.node_port != NODE_PORT and service_host(platform, options, "fast") == "127.0.0.1":
        found["FAST_LISTEN"] = f"0.0.0.0:{options.node_port}"
    if options.target_image:
        host = service_host(platform, options, "app")
        found["ALLOWED_HOSTS"] = host if host == "app" else f"localhost,{host}"
    return found | {
        name: value
        for name, value in options.settings.items()
        if Mode.RECORDING in VARIABLES[name].modes and VARIABLES[name].side is not Side.CI
    }


def workflow_settings(options: Options) -> dict[str, str]:
    """The settings, with what ties the jobs of one workflow together: a later one takes its own record."""
    tie = {} if options.flow == "test" or "BUILD_ID" in options.settings else {"BUILD_ID": "auto"}
    return {**options.settings, **tie}


SHARD_GATE = {"FAST_FAIL_ON": "never"}
"""What a job that tests a shard is told beside: findings are judged where all of them are known."""
PACKAGE = "fast-action @ https://github.com/{}/archive/refs/tags/{}.tar.gz"
PATH = 'export PATH="$PATH:$PWD/.fast/venv/bin"'
INSTALL = f"""\
command -v fastci >/dev/null || {{
  python3 -m venv .fast/venv
  .fast/venv/bin/pip install --quiet --disable-pip-version-check "$FASTCI_PACKAGE"
}}
{PATH}"""


def service_script(platform: str, options: Options) -> str:
    """Runs the tests through a node that is a service named `fast`, then takes the record from it."""
    host = service_host(platform, options, "fast")
    port = NODE_PORT if host == "fast" else options.node_port
    return SERVICE.format(tests=options.tests, host=host, port=port)


SERVICE = """\
node=http://{host}:{port}
# Whatever the image of the tests has: curl, wget or Python.
fetch() {{
  if command -v curl >/dev/null; then curl --fail --silent --show-error --noproxy '*' --output "$2" "$1"
  elif command -v wget >/dev/null; then wget -q -Y off -O "$2" "$1"
  else python3 -c 'import sys, urllib.request as r
open(sys.argv[2], "wb").write(r.build_opener(r.ProxyHandler({{}})).open(sys.argv[1]).read())' "$1" "$2"
  fi
}}
mkdir -p .fast/records
# Services start beside the job, and not every runner waits for them.
for _ in $(seq 60); do fetch "$node/ca.pem" .fast/ca.pem 2>/dev/null && break; sleep 1; done
[ -s .fast/ca.pem ] || {{ echo "the node does not answer at $node" >&2; exit 1; }}
# Only the tests are told of the proxy: whatever else the job does goes its own way.
(
for name in HTTP_PROXY HTTPS_PROXY http_proxy https_proxy; do export "$name=$node"; done
for name in SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
  export "$name=$PWD/.fast/ca.pem"
done
export NO_PROXY="" no_proxy="" NODE_USE_ENV_PROXY=1
JAVA_TOOL_OPTIONS="-Dhttp.proxyHost={host} -Dhttp.proxyPort={port} -Dhttp.nonProxyHosts="
export JAVA_TOOL_OPTIONS="$JAVA_TOOL_OPTIONS -Dhttps.proxyHost={host} -Dhttps.proxyPort={port}"
{tests}
)
fetch "$node/record" .fast/records/rec_0001.sqlite"""


def jenkins_keys(options: Options) -> str:
    """The settings as named arguments of a Jenkins step."""
    given = {VARIABLES[name].key: value for name, value in workflow_settings(options).items()}
    if options.target_image and "TARGET_URI" not in options.settings:
        given["targetUri"] = f"http://127.0.0.1:{options.target_port}"
    if options.cloud:
        given["credentialsId"] = "wallarm-api-token"
    return ", ".join(f"{key}: {quote_groovy(value)}" for key, value in given.items())
