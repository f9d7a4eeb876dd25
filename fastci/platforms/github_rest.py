"""GitHub's REST API, github.com and Enterprise Server: a pull request's comment, and code scanning.

docs.github.com: REST API endpoints for issue comments, for code scanning; automatic token authentication.
"""

import base64
import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastci.platforms.rest import Api, Refused

COMMENT_LIMIT = 65_536
"""Characters that GitHub takes in a comment."""
SARIF_LIMIT = 10_000_000
"""Bytes that code scanning takes, compressed."""
PERMISSIONS = {"pull-requests": "the comment", "security-events": "code scanning"}


@dataclass(frozen=True, kw_only=True)
class Rest:
    """The API of one repository. `url` is GITHUB_API_URL; the rest is as `Api` has it."""

    url: str
    token: str
    repository: str
    past_proxies: bool = False
    pause: Callable[[float], None] = time.sleep

    def keep_comment(self, number: int, marker: str, markdown: str) -> str:
        """Write or rewrite the one comment that begins with `marker`; its address. Raises Refused."""
        body = {"body": f"{marker}\n{markdown}"}
        road = f"repos/{self.repository}/issues"
        with self._api() as api:
            for comment in api.each(f"{road}/{number}/comments"):
                if self._is_own(comment) and str(comment.get("body", "")).startswith(marker):
                    return str(api.ask("PATCH", f"{road}/comments/{comment['id']}", body)["html_url"])
            # Asked once: a try that did its work before it failed would leave two of them.
            return str(api.ask("POST", f"{road}/{number}/comments", body, tries=1)["html_url"])

    def upload_sarif(self, path: Path, *, sha: str, ref: str) -> str:
        """Hand a SARIF file to code scanning; the id of the upload. Raises Refused."""
        packed = gzip.compress(path.read_bytes(), mtime=0)
        if len(packed) > SARIF_LIMIT:
            raise Refused(
                f"{path.name} is {len(packed):,} bytes compressed, code scanning takes {SARIF_LIMIT:,}"
            )
        text = base64.b64encode(packed).decode()
        body = {"commit_sha": sha, "ref": ref, "sarif": text, "tool_name": "fast-action"}
        with self._api() as api:
            return str(api.ask("POST", f"repos/{self.repository}/code-scanning/sarifs", body).get("id", ""))

    def _is_own(self, comment: Any) -> bool:
        """Anybody can write our marker; a token of the workflow writes as a bot."""
        return not self.token.startswith("ghs_") or comment.get("user", {}).get("type") == "Bot"

    def _api(self) -> Api:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        return Api(self.url, headers, past_proxies=self.past_proxies, pause=self.pause)


def permissions_block(wanted: list[str]) -> list[str]:
    """The lines for the workflow that allow these."""
    lines = ["permissions:", "  contents: read"]
    return lines + [f"  {name}: write  # for {PERMISSIONS[name]}" for name in wanted]
