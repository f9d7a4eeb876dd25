"""The engine is really started anew in the middle of a job: a dockerd of the test's own."""

import os
import shutil
import socket
import subprocess
import uuid
from pathlib import Path

import docker
import pytest
from jobs import sending, until

pytestmark = pytest.mark.engine


class OwnEngine:
    """A Docker Engine beside the machine's: files, socket and containers are its own.

    `bridge` must be one that is there: an engine that is to have none removes that of the machine's own.
    """

    def __init__(self, folder: Path, bridge: str) -> None:
        self._bridge = bridge
        self.url = f"unix://{folder}/s"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        command = ["dockerd", "--host", self.url, "--pidfile", f"{self._folder}/pid", "--log-level", "error"]
        command += ["--data-root", f"{self._folder}/data", "--exec-root", f"{self._folder}/exec"]
        command += [
            "--bridge",
            self._bridge,
            "--iptables=false",
            "--containerd-namespace",
            "fast-action-test",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until(self._answers, "an engine that answers")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        # By hand: the SDK leaves a socket open where it cannot connect.
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(self.url.removeprefix("unix://"))
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
                return b" 200 " in connection.recv(64)
            except OSError:
                return False

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.url, timeout=60)


@pytest.fixture(scope="module")
def own_engine(tmp_path_factory, engine, node_image):
    """It has the node's image."""
    if shutil.which("dockerd") is None or os.getuid() != 0:
        give_up = pytest.fail if os.environ.get("FAST_REQUIRE_ENGINE") == "1" else pytest.skip
        give_up("NOT RUN: no dockerd can be started here")
    # The path of a unix socket must be short.
    folder = tmp_path_factory.mktemp("e")
    network = engine.networks.create(f"fast-action-test-{uuid.uuid4().hex[:8]}", driver="bridge")
    made = OwnEngine(folder, f"br-{network.id[:12]}")
    try:
        made.start()
        client = made.client()
        client.images.load(engine.images.get(node_image).save(named=node_image))
        client.close()
        yield made
        client = made.client()
        for container in client.containers.list(all=True, ignore_removed=True):
            container.remove(v=True, force=True)
        client.close()
    finally:
        made.end()
        network.remove()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def waiting(url: str) -> list[str]:
    """Tests that go on when they are told to."""
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
    return sending(url, then=wait)


def nodes_of(engine: OwnEngine, job) -> list[str]:
    client = engine.client()
    try:
        return job.nodes(client)
    finally:
        client.close()


def test_engine_started_anew_while_the_tests_run_costs_nothing_where_containers_go_on(
    own_engine, fastci_docker, target
):
    own_engine.end()
    own_engine.start("--live-restore")
    words = ["run", "--target-uri", target.url, "--", *waiting(f"{target.url}/safe?q=1")]
    job = fastci_docker.start(*words, DOCKER_HOST=own_engine.url)
    job.says("\n200\n")
    own_engine.end()
    job.says("the recorder cannot be seen")
    own_engine.start("--live-restore")
    job.says("the recorder can be seen again")
    (fastci_docker.folder / "go").touch()
    done = job.wait()
    assert done.status == 0, done
    assert "1 baseline request recorded" in done.out
    assert nodes_of(own_engine, fastci_docker) == []


def test_engine_started_anew_while_the_tests_run_costs_the_job_but_not_the_record(
    own_engine, fastci_docker, target
):
    own_engine.end()
    own_engine.start()
    words = ["run", "--target-uri", target.url, "--", *waiting(f"{target.url}/safe?q=1")]
    job = fastci_docker.start(*words, DOCKER_HOST=own_engine.url)
    job.says("\n200\n")
    own_engine.end()
    own_engine.start()
    job.says("the recorder is gone: the recorder ended while the tests ran")
    (fastci_docker.folder / "go").touch()
    done = job.wait()
    assert done.status == 3, done
    assert "rec_0001 holds what was recorded until then" in done.err
    assert fastci_docker.workspace.has_record("rec_0001")
    assert nodes_of(own_engine, fastci_docker) == []
