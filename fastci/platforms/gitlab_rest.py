"""GitLab's REST API: one note of ours on a merge request (docs.gitlab.com: Notes API, merge requests).

Nothing here fails a job: what a token may not do is said, together with what would allow it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastci.platforms.github_rest import Refused

if TYPE_CHECKING:
    import requests

NOTE_LIMIT = 1_000_000
"""Characters that GitLab takes in a note."""
TOKEN_HINT = (
    "the note needs a project access token with the scope api and the role Reporter in the CI/CD variable "
    "FAST_GITLAB_TOKEN, masked; CI_JOB_TOKEN may not write notes"
)
_TIMEOUT = (5, 20)
_PAGES = 10


@dataclass(frozen=True, kw_only=True)
class Notes:
    """The notes of one merge request. `url` is CI_API_V4_URL, `project` an id, `number` the one GitLab shows.

    `past_proxies` asks past the proxies of the environment: a recorder of ours may be among them.
    """

    url: str
    token: str
    project: str
    number: int
    past_proxies: bool = False

    def keep(self, marker: str, markdown: str) -> str:
        """Write or rewrite our one note that begins with `marker`; says which it is. Raises Refused."""
        body = {"body": f"{marker}\n{markdown}"}
        road = f"projects/{self.project}/merge_requests/{self.number}/notes"
        with self._session() as session:
            # Anybody can write our marker; only what this token's user wrote is ours.
            me = self._ask(session, "GET", "user").get("id")
            for note in self._notes(session, road):
                own = not note.get("system") and note.get("author", {}).get("id") == me
                if own and str(note.get("body", "")).startswith(marker):
                    self._ask(session, "PUT", f"{road}/{note['id']}", body)
                    return f"note {note['id']} of !{self.number} rewritten"
            made = self._ask(session, "POST", road, body)
        return f"note {made['id']} of !{self.number} written"

    def _notes(self, session: "requests.Session", road: str) -> Iterator[Any]:
        for page in range(1, _PAGES + 1):
            found = self._ask(session, "GET", f"{road}?per_page=100&sort=asc&page={page}")
            yield from found
            if len(found) < 100:
                return

    def _session(self) -> "requests.Session":
        # Only a job that asks for it pays for the import.
        import requests

        session = requests.Session()
        session.trust_env = not self.past_proxies
        session.headers.update({"PRIVATE-TOKEN": self.token, "User-Agent": "fast-action"})
        return session

    def _ask(self, session: "requests.Session", method: str, road: str, body: object = None) -> Any:
        import requests

        try:
            answer = session.request(
                method, f"{self.url.rstrip('/')}/{road}", json=body, timeout=_TIMEOUT, allow_redirects=False
            )
            told = answer.json() if answer.content else {}
        except requests.RequestException as error:
            raise Refused(f"{self.url} does not answer: {type(error).__name__}") from error
        if answer.status_code < 300:
            return told
        # GitLab says why in `message`, or in `error` when the token is at fault.
        why = told.get("message") or told.get("error") if isinstance(told, dict) else ""
        lacking = answer.status_code in (401, 403, 404)
        raise Refused(f"status {answer.status_code}: {why or answer.reason}", lacking=lacking)
