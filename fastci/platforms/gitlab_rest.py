"""GitLab's REST API: one note of ours on a merge request (docs.gitlab.com: Notes API, merge requests)."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fastci.platforms.rest import Api

NOTE_LIMIT = 1_000_000
"""Characters that GitLab takes in a note."""
TOKEN_HINT = (
    "the note needs a project access token with the scope api and the role Reporter in the CI/CD variable "
    "FAST_GITLAB_TOKEN, masked; CI_JOB_TOKEN may not write notes"
)


@dataclass(frozen=True, kw_only=True)
class Notes:
    """The notes of one merge request. `url` is CI_API_V4_URL, `project` an id, `number` the one GitLab shows.

    The rest is as `Api` has it.
    """

    url: str
    token: str
    project: str
    number: int
    past_proxies: bool = False
    pause: Callable[[float], None] = time.sleep

    def keep(self, marker: str, markdown: str) -> str:
        """Write or rewrite our one note that begins with `marker`; says which it is. Raises Refused."""
        body = {"body": f"{marker}\n{markdown}"}
        road = f"projects/{self.project}/merge_requests/{self.number}/notes"
        headers = {"PRIVATE-TOKEN": self.token}
        with Api(self.url, headers, past_proxies=self.past_proxies, pause=self.pause) as api:
            # Anybody can write our marker; only what this token's user wrote is ours.
            me = api.ask("GET", "user").get("id")
            for note in api.each(road, sort="asc"):
                own = not note.get("system") and note.get("author", {}).get("id") == me
                if own and str(note.get("body", "")).startswith(marker):
                    api.ask("PUT", f"{road}/{note['id']}", body)
                    return f"note {note['id']} of !{self.number} rewritten"
            # Asked once: a try that did its work before it failed would leave two of them.
            made = api.ask("POST", road, body, tries=1)
        return f"note {made['id']} of !{self.number} written"
