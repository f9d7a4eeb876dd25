"""GitHub's REST API, github.com and Enterprise Server: a pull request's comment, and code scanning.

Nothing here fails a job: what a token may not do is said, together with the permissions that would allow it
(docs.github.com: REST API endpoints for issue comments, for code scanning; automatic token authentication).
"""

import base64
import gzip
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

COMMENT_LIMIT = 65_536
"""Characters that GitHub takes in a comment."""
SARIF_LIMIT = 10_000_000
"""Bytes that code scanning takes, compressed."""
PERMISSIONS = {"pull-requests": "the comment", "security-events": "code scanning"}
_TIMEOUT = (5, 20)
_TRIES = 3
_PAGES = 10


class Refused(Exception):
    """The API did not do it; `lacking` where the token may not."""

    def __init__(self, why: str, *, lacking: bool = False) -> None:
        super().__init__(why)
        self.lacking = lacking


@dataclass(frozen=True, kw_only=True)
class Rest:
    """The API of one repository. `url` is GITHUB_API_URL; `pause` waits between tries, in seconds.

    `past_proxies` asks past the proxies of the environment: a recorder of ours may be among them.
    """

    url: str
    token: str
    repository: str
    past_proxies: bool = False
    pause: Callable[[float], None] = time.sleep

    def keep_comment(self, number: int, marker: str, markdown: str) -> str:
        """Write or rewrite the one comment that begins with `marker`; its address. Raises Refused."""
        body = {"body": f"{marker}\n{markdown}"}
        road = f"repos/{self.repository}/issues"
        with self._session() as session:
            for comment in self._comments(session, f"{road}/{number}/comments"):
                if self._is_own(comment) and str(comment.get("body", "")).startswith(marker):
                    there = f"{road}/comments/{comment['id']}"
                    return str(self._ask(session, "PATCH", there, body)["html_url"])
            # Asked once: a try that did its work before it failed would leave two of them.
            made = self._ask(session, "POST", f"{road}/{number}/comments", body, tries=1)
        return str(made["html_url"])

    def upload_sarif(self, path: Path, *, sha: str, ref: str) -> str:
        """Hand a SARIF file to code scanning; the id of the upload. Raises Refused."""
        packed = gzip.compress(path.read_bytes(), mtime=0)
        if len(packed) > SARIF_LIMIT:
            raise Refused(
                f"{path.name} is {len(packed):,} bytes compressed, code scanning takes {SARIF_LIMIT:,}"
            )
        text = base64.b64encode(packed).decode()
        body = {"commit_sha": sha, "ref": ref, "sarif": text, "tool_name": "fast-action"}
        with self._session() as session:
            road = f"repos/{self.repository}/code-scanning/sarifs"
            return str(self._ask(session, "POST", road, body).get("id", ""))

    def _is_own(self, comment: Any) -> bool:
        """Anybody can write our marker; a token of the workflow writes as a bot."""
        return not self.token.startswith("ghs_") or comment.get("user", {}).get("type") == "Bot"

    def _comments(self, session: "requests.Session", road: str) -> Iterator[Any]:
        for page in range(1, _PAGES + 1):
            found = self._ask(session, "GET", f"{road}?per_page=100&page={page}")
            yield from found
            if len(found) < 100:
                return

    def _session(self) -> "requests.Session":
        # Only a job that asks for it pays for the import.
        import requests

        session = requests.Session()
        session.trust_env = not self.past_proxies
        session.headers.update(
            {
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {self.token}",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": "fast-action",
            }
        )
        return session

    def _ask(
        self,
        session: "requests.Session",
        method: str,
        road: str,
        body: object = None,
        *,
        tries: int = _TRIES,
    ) -> Any:
        import requests

        for attempt in range(1, tries + 1):
            fault = ""
            try:
                answer = session.request(
                    method,
                    f"{self.url.rstrip('/')}/{road}",
                    json=body,
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                fault = f"{self.url} does not answer: {type(error).__name__}"
            except requests.RequestException as error:
                raise Refused(f"{self.url}: {error}") from error
            else:
                if answer.status_code < 300:
                    return _json(answer)
                fault = _complaint(answer)
                if answer.status_code < 500:
                    forbidden = answer.status_code in (401, 403, 404)
                    raise Refused(fault, lacking=forbidden and not _is_limited(answer))
            if attempt == tries:
                raise Refused(fault)
            self.pause(2.0 ** (attempt - 1))
        raise AssertionError("every try returns or raises")


def permissions_block(wanted: list[str]) -> list[str]:
    """The lines for the workflow that allow these."""
    lines = ["permissions:", "  contents: read"]
    return lines + [f"  {name}: write  # for {PERMISSIONS[name]}" for name in wanted]


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


def _is_limited(answer: "requests.Response") -> bool:
    return "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"


def _json(answer: "requests.Response") -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise Refused(f"{answer.url} answers with something that is not JSON") from error


def _complaint(answer: "requests.Response") -> str:
    try:
        told = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        told = answer.reason
    return f"status {answer.status_code}: {told}"
