"""A socket between fastci and the engine, on which requests are held, failed or cut."""

import contextlib
import os
import re
import socket
import threading
import urllib.parse
from pathlib import Path

from fastci.lifecycle.labels import SELECTOR


class EngineBetween:
    """Passes everything on to the engine; requests that match `held` wait until `release`; `cut` ends it.

    Those that match `failing` do not reach it: status 500 is their answer. Where it is `narrow`, who lists
    everything of ours is shown only what has that label.
    """

    def __init__(self, path):
        engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        self.path = path
        self.held = self.failing = None
        self.narrow = ""
        self.waiting = threading.Event()
        self._go = threading.Event()
        self._go.set()
        self._engine = engine
        self._ends = []
        self.listen()

    def listen(self):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def hold(self, pattern):
        self._go.clear()
        self.held = re.compile(pattern.encode())

    def fail(self, pattern):
        self.failing = re.compile(pattern.encode())

    def release(self):
        self.held = None
        self._go.set()

    def cut(self):
        self._listener.close()
        Path(self.path).unlink(missing_ok=True)
        self.release()
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
            except OSError:
                return
            self._ends += [client, engine]
            threading.Thread(target=self._pass, args=(client, engine, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(engine, client, False), daemon=True).start()

    def _pass(self, source, sink, asking):
        try:
            while data := source.recv(1 << 16):
                if asking and self.held and self.held.match(data):
                    self.waiting.set()
                    self._go.wait(60)
                if asking and self.failing and self.failing.match(data):
                    source.sendall(b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n")
                    continue
                if asking and self.narrow:
                    shown = urllib.parse.quote_plus(self.narrow).encode()
                    data = data.replace(urllib.parse.quote_plus(SELECTOR).encode(), shown)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
