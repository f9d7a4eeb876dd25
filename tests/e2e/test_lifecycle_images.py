"""Getting the node's image from a registry that fails, and pinning it, against a registry on this machine."""

import contextlib
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import tarfile
import threading
import time
import uuid

import pytest

from fastci.config import parse_settings
from fastci.errors import UsageError
from fastci.lifecycle.container import ContainerRuntime

pytestmark = pytest.mark.engine


UNKNOWN = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'

UNKNOWN_BLOB = b'{"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown to registry"}]}'


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    """One image behind the pull half of the registry's API; answers 503 while it is `ill`.

    While it is `forgetful`, it knows the image but not what is in it.
    """

    def __init__(self):
        self.ill = self.forgetful = False
        self.name = f"fast-test-{uuid.uuid4().hex[:8]}"
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as archive:
            entry = tarfile.TarInfo("only")
            entry.size = 4
            archive.addfile(entry, io.BytesIO(self.name[-4:].encode()))
        packed = gzip.compress(layer.getvalue())
        config = json.dumps(
            {
                "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/only"]},
                "rootfs": {"type": "layers", "diff_ids": [digest(layer.getvalue())]},
            }
        ).encode()  # fmt: skip
        kind = "application/vnd.docker"
        manifest = json.dumps(
            {
                "schemaVersion": 2, "mediaType": f"{kind}.distribution.manifest.v2+json",
                "config": {
                    "mediaType": f"{kind}.container.image.v1+json", "size": len(config),
                    "digest": digest(config),
                },
                "layers": [
                    {
                        "mediaType": f"{kind}.image.rootfs.diff.tar.gzip", "size": len(packed),
                        "digest": digest(packed),
                    }
                ],
            }
        ).encode()  # fmt: skip
        self.digest = digest(manifest)
        blobs = {digest(config): config, digest(packed): packed}
        registry = self

        class Api(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                last = self.path.rpartition("/")[2]
                content, kind_of = b"{}", "application/json"
                status = 503 if registry.ill else 200
                if "/manifests/" in self.path and not registry.ill:
                    known = last in ("1", registry.digest)
                    status, content = (200, manifest) if known else (404, UNKNOWN)
                    kind_of = f"{kind}.distribution.manifest.v2+json"
                elif last in blobs and registry.forgetful:
                    status, content = 404, UNKNOWN_BLOB
                elif last in blobs:
                    content, kind_of = blobs[last], "application/octet-stream"
                self.send_response(status)
                self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
                self.send_header("Content-Type", kind_of)
                self.send_header("Docker-Content-Digest", digest(content))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_HEAD = do_GET

            def log_message(self, *words):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        # Without a certificate the engine trusts registries on loopback only.
        self.repository = f"127.0.0.1:{self._server.server_port}/{self.name}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Waiter:
    """Waits for what is short; long pauses are only counted, and `on_pause` is called."""

    def __init__(self):
        self.pauses = []
        self.on_pause = lambda: None

    def check(self):
        pass

    def pause(self, seconds):
        if seconds < 1:
            time.sleep(seconds)
            return
        self.pauses.append(seconds)
        self.on_pause()

    def now(self):
        return time.monotonic()

    def grace(self, seconds):
        return seconds


@pytest.fixture
def registry(engine):
    made = Registry()
    yield made
    made.close()
    for found in engine.api.images(name=made.repository):
        for name in [*(found["RepoTags"] or []), *(found["RepoDigests"] or [])]:
            with contextlib.suppress(Exception):
                engine.api.remove_image(name)


@pytest.fixture
def prepare():
    """Has the runtime get an image; the lines it said."""
    opened = []

    def act(image, waiter):
        said = []
        runtime = ContainerRuntime.connect(
            parse_settings({"FAST_IMAGE": image}), os.environ, waiter, said.append
        )
        opened.append(runtime)
        return runtime.prepare(), said

    yield act
    for runtime in opened:
        runtime.close()


def test_pull_that_fails_twice_is_tried_again_with_longer_pauses(registry, prepare):
    registry.ill = True
    waiter = Waiter()

    def recover():
        registry.ill = len(waiter.pauses) < 2

    waiter.on_pause = recover
    told, said = prepare(f"{registry.repository}:1", waiter)
    assert told.startswith(f"image {registry.repository}:1,")
    assert waiter.pauses == [2.0, 4.0]
    assert [line.split(":")[0] for line in said].count("pulling failed, trying again") == 2


def test_pull_that_keeps_failing_is_given_up_with_the_registrys_words(registry, prepare):
    registry.ill = True
    waiter = Waiter()
    with pytest.raises(UsageError, match="cannot be pulled") as caught:
        prepare(f"{registry.repository}:1", waiter)
    assert len(waiter.pauses) == 2
    assert "503" in caught.value.why


def test_pull_that_breaks_off_in_the_middle_is_tried_again_and_says_why(registry, prepare):
    registry.forgetful = True
    waiter = Waiter()

    def recover():
        registry.forgetful = False

    waiter.on_pause = recover
    told, said = prepare(f"{registry.repository}:1", waiter)
    assert told.startswith(f"image {registry.repository}:1,")
    assert waiter.pauses == [2.0]
    # Docker has the registry's words, Podman its status.
    assert re.search("unknown|404", next(line for line in said if "trying again" in line))


def test_pull_of_an_image_that_is_not_there_is_not_repeated(registry, prepare):
    waiter = Waiter()
    with pytest.raises(UsageError, match="cannot be pulled"):
        prepare(f"{registry.repository}:2", waiter)
    assert waiter.pauses == []


def test_image_pinned_by_its_digest_is_that_one_and_no_other(registry, prepare, engine):
    waiter = Waiter()
    pinned = f"{registry.repository}@{registry.digest}"
    told, _ = prepare(pinned, waiter)
    assert pinned in told
    assert pinned in engine.images.get(pinned).attrs["RepoDigests"]
    with pytest.raises(UsageError, match="cannot be pulled"):
        prepare(f"{registry.repository}@sha256:{'0' * 64}", waiter)
