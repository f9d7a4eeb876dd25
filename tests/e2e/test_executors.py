"""What GitLab's executors offer to a job, each by the variables and the sockets that it gives."""

import contextlib
import os
import ssl
import subprocess
import sys
import threading
from ipaddress import ip_network
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, SHUT_WR, create_server, socket

import pytest
import yaml
from clients import need
from jobs import Target, sending

from fastci.generator import generate, read_options

GITLAB = {"GITLAB_CI": "true", "CI_PIPELINE_ID": "812", "CI_JOB_ID": "4711"}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_PORT": "tcp://10.0.0.1:443"}


class Road:
    """The engine's socket, also to be had over TCP; with certificates over TLS, both sides proven."""

    def __init__(self, host: str, certificates: Path | None = None) -> None:
        self._socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        self._listener = create_server((host, 0))
        self._context = None
        if certificates is not None:
            self._context = ssl.create_default_context(
                ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem"
            )
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
        self.port = self._listener.getsockname()[1]
        self._open: set[socket] = set()
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._carry, args=(client,)))
                self._threads[-1].start()

    def _carry(self, client: socket) -> None:
        self._open.add(client)
        with contextlib.suppress(OSError), client:
            inner = self._context.wrap_socket(client, server_side=True) if self._context else client
            with inner, socket(AF_UNIX) as engine:
                self._open |= {inner, engine}
                engine.connect(self._socket)
                back = threading.Thread(target=self._pump, args=(engine, inner))
                back.start()
                self._pump(inner, engine)
                back.join()

    @staticmethod
    def _pump(one: socket, other: socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        # Whoever reads to the end of an answer waits for this.
        with contextlib.suppress(OSError):
            other.shutdown(SHUT_WR)

    def close(self) -> None:
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def road():
    """Makes roads to the engine."""
    made: list[Road] = []

    def lay(host: str, certificates: Path | None = None) -> Road:
        made.append(Road(host, certificates))
        return made[-1]

    yield lay
    for each in made:
        each.close()


def certificates_for(name: str, folder: Path) -> Path:
    """What docker:dind leaves in /certs/client: ca.pem, cert.pem, key.pem; here both sides use them."""
    folder.mkdir()
    openssl = need("openssl")
    (folder / "names").write_text(f"subjectAltName=DNS:{name}\n")
    for words in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=authority -days 2",
        f"req -newkey rsa:2048 -nodes -keyout key.pem -out request -subj /CN={name}",
        "x509 -req -in request -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -days 2"
        " -extfile names",
    ):
        subprocess.run([openssl, *words.split()], cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


def run_words(target: str) -> list[str]:
    return ["run", "--target-uri", target, "--", *sending(f"{target}/echo?q=1")]


@pytest.mark.engine
def test_shell_executor_with_an_engine_takes_containers_on_the_machines_network(fastci_docker, target):
    done = fastci_docker("record", FAST_RUNTIME="auto", **GITLAB)
    assert "in the network of this machine), because a Docker Engine answers" in done.text
    assert fastci_docker("stop", **GITLAB).status == 0


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, "no such file"),
        (KUBERNETES | {"DOCKER_HOST": "tcp://127.0.0.1:1"}, "connection refused"),
        (KUBERNETES | {"DOCKER_HOST": "tcp://docker.invalid:2376", "DOCKER_TLS_VERIFY": "1"}, ""),
    ],
    ids=["docker", "kubernetes", "kubernetes-dind-that-is-not-there"],
)
def test_executor_without_an_engine_takes_a_process_and_says_why(fastci, given, why):
    done = fastci("record", FAST_RUNTIME="auto", **GITLAB, **given)
    assert done.status == 0, done
    assert "runtime: process" in done.text
    assert f"no Docker Engine answers at {given['DOCKER_HOST']}" in done.text
    assert why in done.text
    assert fastci("stop", **{**GITLAB, **given}).status == 0


@pytest.mark.engine
def test_kubernetes_executor_with_dind_in_the_pod_shares_its_network(fastci_docker, target, road):
    """All containers of a pod have one localhost, so the engine's own network is the job's."""
    given = GITLAB | KUBERNETES | {"DOCKER_HOST": f"tcp://localhost:{road('127.0.0.1').port}"}
    done = fastci_docker(*run_words(target.url), FAST_RUNTIME="auto", **given)
    assert done.status == 1, done
    assert "in the network of this machine), because a Docker Engine answers" in done.text
    assert "security tests: failed, 1 vulnerability" in done.text


@pytest.mark.engine
def test_docker_executor_with_dind_reaches_a_target_by_the_name_of_the_engine(
    fastci_docker, engine, road, tmp_path
):
    """The engine is another machine, called `docker`, spoken to over TLS. What it publishes is at that name,
    for the tests as for the node inside of it."""
    if os.getuid() != 0 and not os.environ.get("FAST_REQUIRE_ENGINE"):
        pytest.skip("NOT RUN: only root can give a job a name for the engine")
    # An engine that found its bridge there does not tell the bridge's own address, which is the first one.
    subnet = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    gateway = str(next(ip_network(subnet).hosts()))
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{gateway} docker\n")
    certificates = certificates_for("docker", tmp_path / "certs")
    target = Target(gateway)
    try:
        url = target.url.replace(gateway, "docker")
        options = read_options({"tests": "x", "engine": "dind", "target-uri": url})
        generated = yaml.safe_load(generate("gitlab", options))[".fast"]["variables"]
        given = {name: value for name, value in generated.items() if name.startswith("DOCKER_")}
        assert (given["DOCKER_HOST"], given["DOCKER_CERT_PATH"]) == ("tcp://docker:2376", "/certs/client")
        given |= {"DOCKER_HOST": f"tcp://docker:{road(gateway, certificates).port}"}
        given |= {"DOCKER_CERT_PATH": str(certificates), "FAST_RUNTIME": "auto"}
        # The job alone has the name: in a mount namespace of its own.
        inside = f'mount --bind "{hosts}" /etc/hosts && exec "$@"'
        command = [need("unshare"), "--mount", "sh", "-ec", inside, "sh", sys.executable, "-m", "fastci"]
        done = subprocess.run(
            [*command, *run_words(url)], cwd=fastci_docker.folder, capture_output=True, text=True,
            env={**fastci_docker.environ, **GITLAB, **given}, check=False, timeout=150,
        )  # fmt: skip
    finally:
        target.close()
    said = done.stdout + done.stderr
    assert done.returncode == 1, said
    assert "in a network of its own" in said
    assert "at http://docker:" in said
    assert "security tests: failed, 1 vulnerability" in said
    assert fastci_docker.nodes(engine) == []
