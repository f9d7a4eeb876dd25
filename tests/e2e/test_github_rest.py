"""A pull request's comment and code scanning, against a server that answers as GitHub documents."""

import base64
import gzip
import json
import re
import urllib.parse
from pathlib import Path

import pytest
from forge import Forge
from jobs import sending

from fastci.platforms.github import GitHub
from fastci.platforms.github_rest import COMMENT_LIMIT, Rest
from fastci.platforms.rest import Refused

REPOSITORY = "shop/front"
TOKEN = "ghs_sesame"
FORBIDDEN = {"message": "Resource not accessible by integration", "status": "403"}


class GitHubForge(Forge):
    """Comments of a pull request, and uploads; fails `failures` times, refuses what is in `refused`."""

    def __init__(self):
        super().__init__("/api/v3")
        self.comments = []
        self.uploads = []
        self.asked = []
        self.refused = set()
        self.failures = 0

    def answer(self, method, target, body, headers):
        parts = urllib.parse.urlsplit(target)
        self.asked.append((method, parts.path))
        if self.failures:
            self.failures -= 1
            return 502, {"message": "Server Error"}
        if headers["Authorization"] != f"Bearer {TOKEN}" or "github" not in headers["Accept"]:
            return 401, {"message": "Bad credentials"}
        road = parts.path.removeprefix(f"{self.base}/repos/{REPOSITORY}")
        if road == "/code-scanning/sarifs" and method == "POST":
            if "security-events" in self.refused:
                return 403, FORBIDDEN
            self.uploads.append(body)
            return 202, {"id": "47177e22", "url": f"{self.url}/sarifs/47177e22"}
        if "pull-requests" in self.refused and method != "GET":
            return 403, FORBIDDEN
        if road == "/issues/7/comments" and method == "GET":
            query = {name: int(value) for name, value in urllib.parse.parse_qsl(parts.query)}
            first = (query["page"] - 1) * query["per_page"]
            return 200, self.comments[first : first + query["per_page"]]
        if road == "/issues/7/comments" and method == "POST":
            return 201, self.add(body["body"], "Bot")
        number = re.fullmatch(r"/issues/comments/(\d+)", road)
        if number and method == "PATCH":
            found = self.comments[int(number[1]) - 1]
            found["body"] = body["body"]
            return 200, found
        return 404, {"message": "Not Found"}

    def add(self, body, kind):
        number = len(self.comments) + 1
        self.comments.append(
            {"id": number, "body": body, "user": {"type": kind}, "html_url": f"https://forge/c{number}"}
        )
        return self.comments[-1]


@pytest.fixture
def forge():
    made = GitHubForge()
    yield made
    made.close()


@pytest.fixture
def environ(forge, tmp_path):
    """What a job of a pull request sees."""
    event = tmp_path / "event.json"
    ends = {
        "head": {"sha": "beef", "repo": {"full_name": REPOSITORY}},
        "base": {"repo": {"full_name": REPOSITORY}},
    }
    event.write_text(json.dumps({"pull_request": {"number": 7, **ends}}))
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": forge.url,
        "GITHUB_REPOSITORY": REPOSITORY,
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_JOB": "fast",
        "GITHUB_SHA": "feed",
        "GITHUB_REF": "refs/pull/7/merge",
        "GITHUB_WORKFLOW_REF": f"{REPOSITORY}/.github/workflows/fast.yml@refs/pull/7/merge",
        "FAST_GITHUB_TOKEN": TOKEN,
    }


@pytest.fixture
def publish(environ):
    """Publishes; returns the lines of the log."""

    def act(**what):
        lines = []
        GitHub(environ, lines.append).publish(**{"name": "", **what})
        return lines

    return act


def bodies(forge):
    return [comment["body"] for comment in forge.comments]


def test_comment_is_made_once_and_rewritten_afterwards(forge, publish):
    forge.add("looks good", "User")
    assert publish(comment="first") == ["comment: https://forge/c2"]
    assert publish(comment="second") == ["comment: https://forge/c2"]
    head, text = forge.comments[1]["body"].split("\n")
    assert head.startswith("<!-- fast-action: .github/workflows/fast.yml fast")
    assert text == "second"
    assert bodies(forge)[0] == "looks good"
    assert len(forge.comments) == 2


def test_comments_of_two_test_runs_stand_side_by_side(forge, publish):
    for text in ("1", "2"):
        publish(name="chrome", comment=f"c{text}")
        publish(name="firefox", comment=f"f{text}")
    assert [body.split("\n")[1] for body in bodies(forge)] == ["c2", "f2"]


def test_comment_beyond_the_first_hundred_is_found_again(forge, publish):
    for _ in range(130):
        forge.add("talk", "User")
    publish(comment="first")
    publish(comment="second")
    assert len(forge.comments) == 131
    assert forge.comments[-1]["body"].endswith("second")


def test_comment_of_a_person_that_has_our_marker_stays_as_it_is(forge, publish):
    publish(comment="first")
    forged = forge.comments.pop()["body"].replace("first", "all is well")
    forge.add(forged, "User")
    publish(comment="second")
    assert bodies(forge)[0] == forged
    assert bodies(forge)[1].endswith("second")


def test_comment_that_is_too_long_is_cut_between_blocks(forge, publish):
    block = "<details><summary>x</summary>\n\n" + "y" * 4_000 + "\n\n</details>\n"
    publish(comment=block * 30)
    (body,) = bodies(forge)
    assert len(body) <= COMMENT_LIMIT
    assert body.count("<details>") == body.count("</details>") > 10
    assert "too long for a comment" in body


def test_findings_are_uploaded_as_code_scanning_wants_them(forge, publish, tmp_path):
    path = tmp_path / "a.sarif"
    path.write_text('{"runs": []}')
    assert publish(sarif=path) == ["code scanning: 47177e22"]
    (upload,) = forge.uploads
    assert gzip.decompress(base64.b64decode(upload["sarif"])) == path.read_bytes()
    assert (upload["commit_sha"], upload["ref"]) == ("feed", "refs/pull/7/merge")


def test_token_that_may_not_is_told_the_permissions_to_give(forge, publish, tmp_path):
    path = tmp_path / "a.sarif"
    path.write_text("{}")
    forge.refused = {"pull-requests", "security-events"}
    lines = publish(comment="text", sarif=path)
    for title in ("comment", "code scanning"):
        told = f"::warning title=FAST::{title}: not done: status 403: {FORBIDDEN['message']}"
        assert told in lines
    start = lines.index("    permissions:")
    assert lines[start : start + 4] == [
        "    permissions:",
        "      contents: read",
        "      pull-requests: write  # for the comment",
        "      security-events: write  # for code scanning",
    ]
    assert forge.comments == forge.uploads == []


def test_token_that_may_comment_only_does_so_and_names_what_lacks(forge, publish, tmp_path):
    path = tmp_path / "a.sarif"
    path.write_text("{}")
    forge.refused = {"security-events"}
    lines = publish(comment="text", sarif=path)
    assert "comment: https://forge/c1" in lines
    assert any("security-events: write" in line for line in lines)


def test_pull_request_from_a_fork_is_told_that_its_token_may_only_read(forge, environ, publish):
    event = Path(environ["GITHUB_EVENT_PATH"])
    event.write_text(event.read_text().replace(REPOSITORY, "stranger/front", 1))
    forge.refused = {"pull-requests"}
    lines = publish(comment="text")
    assert any("from a fork" in line for line in lines)
    assert not any("permissions:" in line for line in lines)


def test_job_without_a_token_asks_nothing_and_says_what_lacks(forge, environ, publish):
    environ["FAST_GITHUB_TOKEN"] = ""
    lines = publish(comment="text")
    assert any("there is no token" in line for line in lines)
    assert any("pull-requests: write" in line for line in lines)
    assert forge.asked == []


def test_run_for_no_pull_request_is_told_so(forge, environ, publish):
    environ["GITHUB_EVENT_PATH"] = "/nowhere"
    (line,) = publish(comment="text")
    assert line.startswith("::notice")
    assert "no pull request" in line
    assert forge.asked == []


def test_api_that_fails_for_a_moment_is_asked_again_with_longer_pauses(forge):
    forge.failures = 2
    pauses = []
    api = Rest(url=forge.url, token=TOKEN, repository=REPOSITORY, pause=pauses.append)
    assert api.keep_comment(7, "<!-- m -->", "text") == "https://forge/c1"
    assert pauses == [1.0, 2.0]


def test_api_that_keeps_failing_is_given_up(forge):
    forge.failures = 100
    api = Rest(url=forge.url, token=TOKEN, repository=REPOSITORY, pause=lambda seconds: None)
    with pytest.raises(Refused, match="status 502: Server Error") as caught:
        api.keep_comment(7, "<!-- m -->", "text")
    assert not caught.value.lacking
    assert len(forge.asked) == 3


def test_api_that_does_not_answer_is_named(environ, publish):
    environ["GITHUB_API_URL"] = "http://127.0.0.1:9"
    api = Rest(url="http://127.0.0.1:9", token=TOKEN, repository=REPOSITORY, pause=lambda seconds: None)
    with pytest.raises(Refused, match=r"http://127\.0\.0\.1:9 does not answer"):
        api.keep_comment(7, "<!-- m -->", "text")


def test_api_is_asked_past_our_own_recorder(forge, environ, publish, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    environ |= {"FAST_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    assert publish(comment="text") == ["comment: https://forge/c1"]


def outputs_in(file):
    return dict(re.findall(r"^([a-z-]+)<<(?:\S+)\n(.*)\n", file.read_text(), re.M))


def test_job_of_a_pull_request_tells_the_runner_all_it_found(fastci, forge, environ, target, tmp_path):
    files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ENV")}
    ask = "import os, sys, urllib.request as u\n"
    ask += "print('tests know', sorted(n for n in os.environ if 'TOKEN' in n))\n"
    ask += f"u.urlopen(u.Request({target.url + '/echo?q=1'!r}, headers={{'X-Fast-Test': 'tests/a.py:12'}}))"
    done = fastci(
        "run", "--target-uri", target.url, "--comment", "--upload-sarif", "--", sending()[0], "-c", ask,
        **{name: str(path) for name, path in files.items()}, **environ, WALLARM_API_TOKEN="sesame-42",
    )  # fmt: skip
    assert done.status == 1, done
    outputs = outputs_in(files["GITHUB_OUTPUT"])
    assert outputs["verdict"] == "failed"
    assert outputs["vulnerabilities"] == "1"
    assert outputs["test-record"] == "rec_0001"
    for name, suffix in (("sarif-file", ".sarif"), ("junit-file", ".junit.xml"), ("html-file", ".html")):
        assert outputs[name].startswith(f"{outputs['report-dir']}/")
        assert outputs[name].endswith(suffix)
    assert re.search(r"^::warning title=FAST%3A Cross-site.*,file=tests/a\.py,line=12::", done.out, re.M)
    summary = files["GITHUB_STEP_SUMMARY"].read_text()
    for words in ("1 vulnerability found", "GET /echo", "Coverage of 1 route", "Timeline", "node recording"):
        assert words in summary
    (comment,) = bodies(forge)
    assert "1 vulnerability found" in comment
    assert len(forge.uploads) == 1
    assert "::add-mask::sesame-42" in done.out
    assert re.search(r"^::group::\[4/7\] .*\ntests know \[\]\n::endgroup::\n\[4/7\] .* ok", done.out, re.M)
    assert f"comment: {forge.comments[0]['html_url']}" in done.out
    again = tmp_path / "again"
    assert fastci("report", **environ, GITHUB_OUTPUT=str(again)).status == 1
    assert outputs_in(again) == outputs
