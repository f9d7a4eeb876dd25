"""``python -m shop``: serve the shop until SIGTERM or Ctrl-C, then end with status 0."""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from shop.app import create_app


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    # A client that stops in the middle of its request must not hold a thread for ever.
    timeout = 15
    verbose = False

    def version_string(self) -> str:
        return "shop"

    def log(self, type: str, message: str, *args: Any) -> None:
        if self.verbose:
            super().log(type, message, *args)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # Werkzeug decodes the target for its line, which fails for the same targets as below.
        with suppress(ValueError):
            super().log_request(code, size)

    def run_wsgi(self) -> None:
        try:
            super().run_wsgi()
        except ValueError:
            # Werkzeug splits the target outside its own error handling: "http://[/" ends here.
            self.send_error(400, "Bad request")


class _VerboseHandler(_Handler):
    verbose = True


class _Server(ThreadedWSGIServer):
    def log(self, type: str, message: str, *args: Any) -> None:
        if self.RequestHandlerClass is _VerboseHandler:
            super().log(type, message, *args)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is the client's affair; the default would print a stack trace for it."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m shop", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--log-requests", action="store_true", help="one line for each request on stderr")
    options = parser.parse_args(arguments)

    with ExitStack() as stack:
        folder = os.environ.get("SHOP_DATA") or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="shop-", ignore_cleanup_errors=True)
        )
        app = create_app(Path(folder).resolve())
        handler = _VerboseHandler if options.log_requests else _Handler
        server = _Server(options.host, options.port, app, handler)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            # shutdown() waits for the serving loop, which is the very thread that runs this handler.
            threading.Thread(target=server.shutdown, daemon=True).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        # The socket has listened since the constructor: whoever reads this line can connect.
        print(f"shop listens on http://{options.host}:{server.server_port}", flush=True)
        server.serve_forever(poll_interval=0.1)
        server.server_close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
