"""The REST API of a forge on this machine; what it answers is said by those that derive from it."""

import http.server
import json
import threading


class Forge:
    """Answers requests below `base` with what `answer` returns: a status, and JSON."""

    def __init__(self, base):
        self.base = base
        forge = self

        class Api(http.server.BaseHTTPRequestHandler):
            def _serve(self):
                length = int(self.headers["Content-Length"] or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = forge.answer(self.command, self.path, body, self.headers)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = _serve

            def log_message(self, *words):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.url = f"http://127.0.0.1:{self._server.server_port}{base}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def answer(self, method, target, body, headers):
        raise NotImplementedError

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
