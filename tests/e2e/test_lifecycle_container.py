"""What is special about containers: privileges, the image by itself, the networks they join."""

import json
import os
import subprocess
import sys
import uuid

import pytest
from clients import tool
from jobs import ON_PODMAN, sending, until

from fastci.config import Mode
from fastci.lifecycle.labels import Labels

pytestmark = pytest.mark.engine

PAGES = ["python3", "-m", "http.server", "7000", "--directory", "/usr/share"]


@pytest.fixture
def app(engine, base_image, lan):
    """A target that has a name on a Docker network and no port on this machine."""
    container = engine.containers.run(
        base_image,
        PAGES,
        detach=True,
        network=lan.name,
        name=f"{lan.name}-app",
        labels={"fast-action-test": "1"},
    )
    yield container
    container.remove(v=True, force=True)


@pytest.fixture
def alone(engine, node_image):
    """Containers of the node's image as a pipeline would start them by hand."""
    started = []

    def run(*command, **options):
        container = engine.containers.run(node_image, list(command) or None, detach=True, **options)
        started.append(container)
        return container

    yield run
    for container in started:
        container.remove(v=True, force=True)


def status_of(container):
    return container.wait(timeout=60)["StatusCode"]


def test_node_has_the_least_privileges_and_no_secret_in_sight(fastci_docker, engine):
    done = fastci_docker("record", WALLARM_API_TOKEN="secret-token", BUILD_ID="b1")
    assert done.status == 0, done
    (container,) = engine.api.containers(filters={"label": fastci_docker.label})
    facts = engine.api.inspect_container(container["Id"])
    host = facts["HostConfig"]
    assert facts["Config"]["User"] == "10001:10001"
    assert host["ReadonlyRootfs"] is True
    if not ON_PODMAN:
        # Podman names every single capability and every volume; what came of it is asked inside, below.
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["Binds"]
    assert host["Privileged"] is False
    assert 0 < host["Memory"] <= 8 << 30
    assert 0 < host["PidsLimit"] <= 1024
    assert not [bind for bind in host["Binds"] or [] if bind.startswith("/")]
    assert host["MemorySwap"] == host["Memory"]
    assert "secret-token" not in json.dumps(facts)
    inside = engine.containers.get(container["Id"])
    assert b"secret-token" not in inside.logs()
    status = inside.exec_run(["cat", "/proc/1/status"]).output.decode()
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert inside.exec_run(["touch", "/opt/x"]).exit_code != 0
    labels = facts["Config"]["Labels"]
    assert labels["org.fast-action.step"] == "recording"
    assert labels["org.fast-action.build"] == "b1"
    assert int(labels["org.fast-action.created"]) < int(labels["org.fast-action.deadline"])
    fastci_docker("stop", BUILD_ID="b1")
    assert fastci_docker.nodes(engine) == []


def test_files_from_the_node_belong_to_the_current_user(fastci_docker, target):
    done = fastci_docker("run", "--target-uri", target.url, "--", *sending(f"{target.url}/safe?q=1"))
    assert done.status == 0, done
    files = [path for path in fastci_docker.workspace.root.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert {path.stat().st_uid for path in files} == {os.getuid()}
    for path in (*fastci_docker.workspace.records.iterdir(), *fastci_docker.workspace.runs.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path


def test_image_that_is_current_is_not_built_again(fastci_docker, node_image):
    done = fastci_docker("record")
    assert "building" not in done.err
    assert node_image in done.err
    fastci_docker("stop")


@pytest.fixture
def shelf(engine):
    """A named volume, as a pipeline would hand from one container to the next."""
    name = f"fast-action-test-{uuid.uuid4().hex[:8]}"
    volume = engine.volumes.create(name, labels={"fast-action-test": "1"})
    yield {name: {"bind": "/var/lib/fast", "mode": "rw"}}
    volume.remove()


def test_image_by_itself_records_until_it_is_stopped_and_tests_what_it_kept(shelf, alone, engine):
    recorder = alone(environment={"CI_MODE": "recording"}, volumes=shelf)

    def healthy():
        return engine.api.inspect_container(recorder.id)["State"]["Health"]["Status"] == "healthy"

    until(healthy, "a healthy node", 30)
    assert b"starts to record" in recorder.logs()
    recorder.stop(timeout=20)
    assert status_of(recorder) == 0
    tester = alone(environment={"CI_MODE": "testing"}, volumes=shelf)
    assert status_of(tester) == 1
    assert b"error: test record rec_0001 is empty" in tester.logs()


@pytest.mark.parametrize("mode", ["testing", "report", "nonsense"])
def test_image_by_itself_without_a_record_ends_with_one(alone, mode):
    container = alone(environment={"CI_MODE": mode})
    assert status_of(container) == 1
    assert b"error: " in container.logs()


def test_image_serves_as_job_image_and_is_not_root(alone):
    container = alone("sh", "-c", "id -u && fastci --version && cd /tmp && touch x")
    assert status_of(container) == 0, container.logs()
    assert container.logs().decode().splitlines()[0] == "10001"


def test_image_on_a_slim_base_is_below_150_megabytes(engine, node_image):
    assert engine.images.get(node_image).attrs["Size"] < 150e6


def test_image_holds_no_program_that_changes_the_user(alone):
    container = alone("find", "/", "-xdev", "-type", "f", "-perm", "/6000", user="0:0")
    assert status_of(container) == 0
    assert container.logs() == b""


def test_job_inside_a_container_shares_its_network_with_the_node(alone, engine, node_image):
    ask = "import urllib.request as u; print(u.urlopen('http://localhost:7000/', timeout=5).status)"
    script = f"""
        cd /tmp
        python3 -m http.server 7000 --bind 127.0.0.1 --directory /opt/reports >/dev/null 2>&1 &
        until python3 -c "{ask}" >/dev/null 2>&1; do :; done
        export FAST_RUNTIME=docker FAST_IMAGE={node_image} TARGET_URI=http://localhost:7000
        fastci run -- python3 -c "{ask}"
        echo "status $?"
        ls .fast/reports
    """
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    socket = {host: {"bind": "/var/run/docker.sock", "mode": "rw"}}
    container = alone("sh", "-c", script, user="0:0", volumes=socket)
    assert status_of(container) == 0
    shown = container.logs().decode()
    assert "in the network of the container this job runs in" in shown
    assert "200\n" in shown
    assert "status 0" in shown, shown
    assert ".html" in shown
    left = engine.api.containers(all=True, filters={"network": f"container:{container.id}"})
    assert left == []


def test_target_on_a_docker_network_is_reached_by_its_name(fastci_docker, engine, lan, app):
    url = f"http://{app.name}:7000"
    done = fastci_docker("run", "--network", lan.name, "--target-uri", url, "--", *sending(f"{url}/?q=1"))
    assert done.status == 0, done
    assert f"in the Docker network {lan.name}" in done.out
    assert "1 baseline request recorded" in done.out
    assert fastci_docker.nodes(engine) == []


def test_target_whose_name_only_a_docker_network_knows_is_found_there(fastci_docker, engine, lan, app):
    url = f"http://{app.name}:7000"
    done = fastci_docker("run", "--target-uri", url, "--", *sending(f"{url}/?q=1"))
    assert done.status == 0, done
    assert f"in the Docker network {lan.name}" in done.out
    assert fastci_docker.nodes(engine) == []


@pytest.fixture
def composed(base_image, tmp_path):
    """The target under docker compose: the port that it publishes on this machine."""
    name = f"fast-action-test-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "compose.yml"
    app = {"image": base_image, "command": PAGES, "init": True, "ports": ["127.0.0.1:0:7000"]}
    file.write_text(json.dumps({"services": {"app-of-compose": app}}))
    compose = [tool("docker-compose"), "--project-name", name, "--file", str(file)]

    def act(*words):
        return subprocess.run([*compose, *words], capture_output=True, text=True, check=True, timeout=120)

    try:
        act("up", "--detach", "--pull", "never")
        yield act("port", "app-of-compose", "7000").stdout.strip().rpartition(":")[2]
    finally:
        act("down", "--volumes", "--timeout", "1")


def test_target_of_docker_compose_is_reached_by_its_port_and_by_its_service_name(
    fastci_docker, engine, composed
):
    for address, way in (
        (f"localhost:{composed}", "in the network of this machine"),
        ("app-of-compose:7000", "in the Docker network fast-action-test-"),
    ):
        url = f"http://{address}"
        done = fastci_docker("run", "--target-uri", url, "--", *sending(f"{url}/?q=1"))
        assert done.status == 0, done
        assert way in done.out
        assert "1 baseline request recorded" in done.out
    assert fastci_docker.nodes(engine) == []


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://localhost:7000", "localhost is the node itself"),
        ("http://no-such-name:7000", "no-such-name"),
        ("http://{app}:7001", "refused"),
    ],
)
def test_target_that_the_node_cannot_reach_is_explained(fastci_docker, engine, lan, app, address, words):
    url = address.format(app=app.name)
    done = fastci_docker(
        "run", "--network", lan.name, "--target-uri", url, "--", sys.executable, "-c", "pass"
    )
    assert done.status == 3, done
    assert f"the target {url} cannot be reached" in done.err
    assert words in done.err
    assert "[4/7]" not in done.out
    assert fastci_docker.nodes(engine) == []


def test_network_that_is_not_there_is_named_with_the_known(fastci_docker):
    done = fastci_docker("run", "--network", "no-such-network", "--", "true")
    assert done.status == 2, done
    assert "no-such-network" in done.err
    assert "bridge" in done.err


def test_port_that_another_container_has_is_named(fastci_docker, engine, lan, lan_target, base_image):
    taken = engine.containers.run(
        base_image,
        PAGES,
        detach=True,
        ports={"7000/tcp": ("127.0.0.1", None)},
        labels={"fast-action-test": "1"},
    )
    try:
        taken.reload()
        port = taken.ports["7000/tcp"][0]["HostPort"]
        done = fastci_docker("run", "--network", lan.name, "--port", port, "--", "true")
        assert done.status == 2, done
        assert f"port {port} of this machine is taken" in done.err
        assert fastci_docker.nodes(engine) == []
    finally:
        taken.remove(v=True, force=True)


def test_volume_that_lost_its_container_is_swept_by_any_later_job(fastci_docker, engine):
    facts = {"job": fastci_docker.workspace.job_key(""), "mode": Mode.TESTING, "build_id": ""}
    past = Labels(created=1000, deadline=2000, **facts)
    volume = engine.volumes.create(labels=past.render())
    done = fastci_docker("clean", FAST_WORKSPACE="another")
    assert done.status == 0, done
    assert volume.name not in [found.name for found in engine.volumes.list()]
