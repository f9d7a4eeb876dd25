"""Fixtures of whole jobs: what they test, the images they use, the command over each runtime."""

import datetime
import hashlib
import io
import os
import re
import shutil
import socket
import tempfile
import uuid
from pathlib import Path

import pytest
from act_client import Act
from clients import PAGES, WAIT, copy_product
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from engine_between import EngineBetween
from jobs import Cloud, Fastci, Target

from fastci.config import parse_settings
from fastci.lifecycle.container import ContainerRuntime
from fastci.lifecycle.interrupts import Signals

STANDIN = Path(__file__).parent / "standin"


@pytest.fixture
def target():
    server = Target()
    yield server
    server.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A PEM file with a certificate that nobody has signed, for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    path = tmp_path_factory.mktemp("tls") / "target.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM) + secret)
    return path


class Lan:
    """A Docker network of a test's own; `gateway` is this machine on it."""

    def __init__(self, network):
        self.name = network.name
        network.reload()
        self.gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]

    def is_up(self):
        """Whether this machine is on it: Podman's are made when the first container is."""
        with socket.socket() as probe:
            try:
                probe.bind((self.gateway, 0))
            except OSError:
                return False
        return True


@pytest.fixture
def lan(engine, base_image):
    network = engine.networks.create(f"fast-action-test-{uuid.uuid4().hex[:8]}", driver="bridge")
    made = Lan(network)
    if not made.is_up():
        engine.containers.run(base_image, ["true"], network=made.name, remove=True)
    yield made
    network.remove()


@pytest.fixture
def lan_target(lan):
    """The target, where containers of the test's network reach it."""
    server = Target(lan.gateway)
    yield server
    server.close()


@pytest.fixture
def cloud(lan):
    server = Cloud(lan.gateway)
    yield server
    server.close()


@pytest.fixture(scope="session")
def engine():
    import docker

    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture
def between():
    """The engine behind a socket of the test's own."""
    # The path of a unix socket must be short.
    folder = tempfile.mkdtemp(prefix="fast-")
    made = EngineBetween(f"{folder}/s")
    yield made
    made.cut()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def base_image(engine):
    """What images are built on: the one that was named, else the one that scripts/base-image makes."""
    return os.environ.get("FAST_BASE_IMAGE") or "local/python-base:ci"


@pytest.fixture(scope="session")
def node_image(engine, base_image):
    """Our own image of the present source, made as every job makes it."""
    settings = parse_settings({"FAST_BASE_IMAGE": base_image})
    with Signals() as signals:
        runtime = ContainerRuntime.connect(settings, os.environ, signals, print)
        said = runtime.prepare()
        runtime.close()
    return re.match(r"image (\S+),", said)[1]


@pytest.fixture(scope="session")
def standin_image(engine, base_image):
    """The image of somebody else's node; the engine's own cache makes the second build free."""
    files = sorted(path for path in STANDIN.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    tag = f"fast-action-test/standin:{digest}"
    engine.images.build(path=str(STANDIN), tag=tag, buildargs={"BASE_IMAGE": base_image}, forcerm=True)
    return tag


@pytest.fixture(scope="session")
def supervised_image(engine, standin_image):
    """The same node, of the kind that prints no line when it is ready."""
    tag = f"{standin_image}-supervised"
    recipe = f"FROM {standin_image}\nENV STANDIN_READY=supervisor\n"
    engine.images.build(fileobj=io.BytesIO(recipe.encode()), tag=tag, forcerm=True)
    return tag


@pytest.fixture(scope="session")
def ci_image(engine, base_image, tmp_path_factory):
    """One image for all that a docker job needs: the job, its target, the client's own helpers."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "target.py").write_text(PAGES)
    (folder / "wait.py").write_text(WAIT)
    (folder / "Dockerfile").write_text(
        f"FROM {base_image}\n"
        "RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends rsync >/dev/null\n"
        "COPY target.py wait.py /\n"
        "EXPOSE 8000\n"
        'CMD ["python3", "/target.py"]\n'
    )
    tag = "fast-action-test/gitlab:1"
    engine.images.build(path=str(folder), tag=tag, forcerm=True)
    (folder / "Dockerfile").write_text(f'FROM {tag}\nENTRYPOINT ["python3", "/wait.py"]\n')
    engine.images.build(path=str(folder), tag=f"{tag}-wait", forcerm=True)
    return tag


@pytest.fixture
def fastci(request, tmp_path):
    """The command over the embedded node."""
    runner = Fastci(tmp_path, "process")
    yield runner
    runner.close()


@pytest.fixture
def fastci_docker(engine, base_image, tmp_path):
    """The command over containers."""
    runner = Fastci(tmp_path, "docker", base_image)
    yield runner
    runner.close()
    for container in engine.api.containers(all=True, filters={"label": runner.label}):
        engine.api.remove_container(container["Id"], v=True, force=True)


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.engine)])
def either(request):
    """The command over each runtime in turn."""
    return request.getfixturevalue("fastci" if request.param == "process" else "fastci_docker")


@pytest.fixture(scope="session")
def product(tmp_path_factory):
    """What `uses: org/fast-action@v1` brings to a runner."""
    return copy_product(tmp_path_factory.mktemp("product") / "fast-action")


@pytest.fixture
def act(tmp_path, product):
    """The runner of GitHub workflows, on this machine."""
    # As little testing as shows that testing happened; a workflow that names a policy keeps to that.
    policy = str(Path(__file__).parent / "xss-only.yml")
    client = Act(tmp_path, product, TEST_RUN_POLICY_ID=policy, FAST_OOB_WAIT="0")
    yield client
    client.close()
    client.lifetime.ends()
