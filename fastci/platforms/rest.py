"""REST APIs of forges: how they are asked, and what is said when they refuse.

Nothing here fails a job: what a token may not do is told, together with what would allow it.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import requests

_TIMEOUT = (5, 20)
_TRIES = 3
_PAGES = 10
_PAGE = 100


class Refused(Exception):
    """The API did not do it; `lacking` where the token may not."""

    def __init__(self, why: str, *, lacking: bool = False) -> None:
        super().__init__(why)
        self.lacking = lacking


class Api:
    """The API at `url`; `headers` carry the token. A context, which keeps its connection.

    `past_proxies` asks past the proxies of the environment; `pause` waits between tries, in seconds.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        past_proxies: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = headers
        self._past_proxies = past_proxies
        self._pause = pause

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._session.close()

    @cached_property
    def _session(self) -> "requests.Session":
        # Only a job that asks for it pays for the import.
        import requests

        session = requests.Session()
        session.trust_env = not self._past_proxies
        session.headers.update({**self._headers, "User-Agent": "fast-action"})
        return session

    def ask(self, method: str, road: str, body: object = None, *, tries: int = _TRIES) -> Any:
        """What the API answers, JSON. A server that fails is asked again. Raises Refused."""
        for attempt in range(1, tries):
            try:
                return self._ask(method, road, body)
            except Refused as refusal:
                if not isinstance(refusal, _Failing):
                    raise
            self._pause(2.0 ** (attempt - 1))
        return self._ask(method, road, body)

    def each(self, road: str, **query: str) -> Iterator[Any]:
        """The entries of a list that comes in pages: of the first thousand."""
        more = "".join(f"&{name}={value}" for name, value in query.items())
        for page in range(1, _PAGES + 1):
            found = self.ask("GET", f"{road}?per_page={_PAGE}&page={page}{more}")
            yield from found
            if len(found) < _PAGE:
                return

    def _ask(self, method: str, road: str, body: object) -> Any:
        import requests

        try:
            answer = self._session.request(
                method, f"{self._url}/{road}", json=body, timeout=_TIMEOUT, allow_redirects=False
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _Failing(f"{self._url} does not answer: {type(error).__name__}") from error
        except requests.RequestException as error:
            raise Refused(f"{self._url}: {error}") from error
        if answer.status_code >= 300:
            raise _refusal(answer)
        try:
            return answer.json() if answer.content else {}
        except ValueError as error:
            raise Refused(f"{answer.url} answers with something that is not JSON") from error


class _Failing(Refused):
    """The server is at fault, perhaps only for a moment."""


def _refusal(answer: "requests.Response") -> Refused:
    told: Any = {}
    with suppress(ValueError):
        told = answer.json()
    # GitLab says in `error` when it is the token.
    why = (told.get("message") or told.get("error")) if isinstance(told, dict) else ""
    words = f"status {answer.status_code}: {why or answer.reason}"
    if answer.status_code >= 500:
        return _Failing(words)
    limited = "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"
    return Refused(words, lacking=answer.status_code in (401, 403, 404) and not limited)


def meets_recorder(environ: Mapping[str, str]) -> bool:
    """Whether a recorder of ours is among the proxies of this environment."""
    names = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
    recorder = environ.get("FAST_PROXY", "")
    return bool(recorder) and recorder in {environ.get(name) for name in names}


def shortened(markdown: str, limit: int, note: str) -> str:
    """Markdown of at most `limit` characters, cut where no block is left open; `note` says so at its end."""
    if len(markdown) <= limit:
        return markdown
    end = f"\n\n{note}\n"
    head = markdown[: limit - len(end)]
    whole = head.rpartition("\n</details>\n")
    if whole[1]:
        head = whole[0] + "\n</details>"
    elif "\n" in head:
        head = head[: head.rindex("\n")]
    return head + end
