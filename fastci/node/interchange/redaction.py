"""Exchanges without the secrets in them, for whoever they are handed to."""

from dataclasses import replace

from fastci.node.engine.coding import decoded_body
from fastci.node.message import Field, Request, Response, parse_request, parse_response
from fastci.node.store import Baseline
from fastci.reports.credentials import mark_message, mark_text


class Redaction:
    """Puts `REDACTED-<n>` in the place of each secret, the same number wherever the same one stands."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def baseline(self, baseline: Baseline) -> Baseline:
        """The baseline with its messages redacted; bodies are decoded for that, and lengths stay true."""
        return replace(
            baseline, request=self._request(baseline.request), response=self._response(baseline.response)
        )

    def _request(self, request: Request) -> Request:
        head, body = self._marked(request.head(), request.body)
        return parse_request(head).with_body(body) if body != request.body else parse_request(head, body)

    def _response(self, response: Response) -> Response:
        plain = decoded_body(response)
        head, body = self._marked(response.head(), plain)
        redacted = parse_response(head, response.body)
        if body == plain:
            return redacted
        framing = (b"content-length", b"content-encoding", b"transfer-encoding")
        fields = [field for field in redacted.fields if field.name.lower() not in framing]
        return replace(redacted, fields=(*fields, Field.of(b"Content-Length", b"%d" % len(body))), body=body)

    def _marked(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        return mark_message(head, self._mark), mark_text(body, self._mark)

    def _mark(self, value: bytes) -> bytes:
        if not value.strip():
            return value
        return b"REDACTED-%d" % self._numbers.setdefault(value, len(self._numbers) + 1)
