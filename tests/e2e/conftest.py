"""Fixtures of whole jobs: what they test, the images they use, the command over each runtime."""

import hashlib
import os
from pathlib import Path

import pytest
from jobs import Cloud, Fastci, Target

STANDIN = Path(__file__).parent / "standin"


@pytest.fixture
def target():
    server = Target()
    yield server
    server.close()


@pytest.fixture
def cloud():
    server = Cloud()
    yield server
    server.close()


@pytest.fixture(scope="session")
def engine():
    import docker

    client = docker.from_env(timeout=60)
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine):
    """What images are built on: the one that was named, else the one that scripts/base-image makes."""
    return os.environ.get("FAST_BASE_IMAGE") or "local/python-base:ci"


@pytest.fixture(scope="session")
def standin_image(engine, base_image):
    """The image of somebody else's node; the engine's own cache makes the second build free."""
    files = sorted(path for path in STANDIN.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    tag = f"fast-action-test/standin:{digest}"
    engine.images.build(path=str(STANDIN), tag=tag, buildargs={"BASE_IMAGE": base_image}, forcerm=True)
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
