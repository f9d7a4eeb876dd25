"""The note on a merge request, against a server that answers as GitLab documents."""

import json
import re
import urllib.parse

import pytest
from forge import Forge
from made_runs import finding, run

from fastci.platforms.gitlab import GitLab
from fastci.platforms.gitlab_rest import NOTE_LIMIT
from fastci.results import to_document

TOKEN = "glpat-sesame"


class GitLabForge(Forge):
    """Notes of merge request !7 of project 42; its user is 5. Methods in `refused` get its status."""

    def __init__(self):
        super().__init__("/api/v4")
        self.notes = []
        self.refused = {}

    def answer(self, method, target, body, headers):
        parts = urllib.parse.urlsplit(target)
        road = parts.path.removeprefix(f"{self.base}/")
        if method in self.refused:
            return self.refused[method], {"message": f"{self.refused[method]} as told"}
        if headers["PRIVATE-TOKEN"] != TOKEN:
            return 401, {"message": "401 Unauthorized"}
        if (method, road) == ("GET", "user"):
            return 200, {"id": 5, "username": "project_42_bot"}
        notes = "projects/42/merge_requests/7/notes"
        if (method, road) == ("GET", notes):
            query = dict(urllib.parse.parse_qsl(parts.query))
            first = (int(query["page"]) - 1) * int(query["per_page"])
            return 200, self.notes[first : first + int(query["per_page"])]
        if (method, road) == ("POST", notes):
            return 201, self.add(body["body"], 5)
        number = re.fullmatch(rf"{notes}/(\d+)", road)
        if number and method == "PUT":
            note = self.notes[int(number[1]) - 1]
            if note["author"]["id"] != 5:
                return 403, {"message": "403 Forbidden"}
            note["body"] = body["body"]
            return 200, note
        return 404, {"message": "404 Not found"}

    def add(self, body, author, system=False):
        note = {"id": len(self.notes) + 1, "body": body, "author": {"id": author}, "system": system}
        self.notes.append(note)
        return note


@pytest.fixture
def forge():
    made = GitLabForge()
    yield made
    made.close()


@pytest.fixture
def environ(forge):
    """What a job of a merge request's pipeline sees."""
    return {
        "GITLAB_CI": "true", "CI_API_V4_URL": forge.url, "CI_PROJECT_ID": "41",
        "CI_MERGE_REQUEST_PROJECT_ID": "42", "CI_MERGE_REQUEST_IID": "7", "CI_JOB_NAME": "fast",
        "FAST_GITLAB_TOKEN": TOKEN,
    }  # fmt: skip


def publish(environ, comment="**failed**", name="nightly"):
    lines = []
    GitLab(environ, lines.append).publish(name=name, comment=comment)
    return "\n".join(lines)


def test_note_is_written_once_and_then_rewritten(forge, environ):
    forge.add("added 1 commit", 9, system=True)
    for number in range(100):
        forge.add(f"a remark {number}", 9)
    assert "note 102 of !7 written" in publish(environ, "first")
    assert "note 102 of !7 rewritten" in publish(environ, "second")
    assert len(forge.notes) == 102
    assert forge.notes[-1]["body"] == "<!-- fast-action: fast nightly -->\nsecond"
    assert "written" in publish({**environ, "CI_JOB_NAME": "fast-verdict"}, "other")
    assert len(forge.notes) == 103


def test_note_of_somebody_else_with_our_marker_stays(forge, environ):
    forge.add("<!-- fast-action: fast nightly -->\nmine", 9)
    publish(environ, "ours")
    assert [note["body"].partition("\n")[2] for note in forge.notes] == ["mine", "ours"]


def test_note_that_is_too_long_is_cut(forge, environ):
    publish(environ, "a line\n" * 200_000)
    assert len(forge.notes[0]["body"]) <= NOTE_LIMIT
    assert forge.notes[0]["body"].endswith("... cut: it is too long for a note\n")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"FAST_GITLAB_TOKEN": ""}, "there is no token in FAST_GITLAB_TOKEN"),
        ({"FAST_GITLAB_TOKEN": "other"}, "status 401: 401 Unauthorized"),
        ({"CI_MERGE_REQUEST_IID": "8"}, "status 404: 404 Not found"),
    ],
)
def test_note_that_is_not_allowed_is_told_with_what_would_allow_it(forge, environ, change, told):
    text = publish({**environ, **change})
    assert f"note: not done: {told}" in text
    assert "scope api" in text
    assert forge.notes == []


def test_note_without_a_merge_request_is_not_tried(forge, environ):
    assert "no pipeline of a merge request" in publish({**environ, "CI_MERGE_REQUEST_IID": ""})


def test_note_with_a_server_that_fails_is_told(forge, environ):
    forge.refused["POST"] = 502
    assert "note: not done: status 502: 502 as told" in publish(environ)


def test_report_in_a_job_of_a_merge_request_writes_the_note_and_ends_by_the_verdict(forge, environ, fastci):
    results = fastci.folder / "r.json"
    results.write_text(json.dumps(to_document(run(finding(), name="nightly"))))
    done = fastci("report", results, FAST_COMMENT="true", TEST_RUN_NAME="nightly", **environ)
    assert done.status == 1, done
    assert "note 1 of !7 written" in done.text
    assert "sqli" in forge.notes[0]["body"].lower() or "SQL" in forge.notes[0]["body"]
    assert TOKEN not in done.text
    forge.refused["POST"] = 403
    forge.notes.clear()
    assert fastci("report", results, FAST_COMMENT="true", TEST_RUN_NAME="nightly", **environ).status == 1
