"""`fastci run` over both runtimes: the whole road, and every way it can go wrong before it is cut short."""

import json
import re
import sys
import sysconfig
from pathlib import Path

import pytest
import requests
from jobs import promised, sending, until

from fastci.results import parse_document


def results(job):
    """The one run of this workspace."""
    (path,) = job.workspace.runs.glob("tr_*.json")
    return parse_document(json.loads(path.read_text()), source=path.name)


def nothing_is_left(job, engine):
    assert job.nodes(engine) == []
    assert job.processes() == []


@pytest.fixture
def engine_of(either, request):
    return request.getfixturevalue("engine") if either.runtime == "docker" else None


def test_run_with_a_flaw_records_tests_reports_and_fails(either, engine_of, target):
    urls = (f"{target.url}/echo?q=hello", f"{target.url}/safe?q=hello")
    done = either("run", "--target-uri", target.url, "--test-run-name", "night", "--", *sending(*urls))
    assert done.status == 1, done
    run = results(either)
    assert {(finding.type, finding.route) for finding in run.findings} == {("xss", "/echo")}
    assert len(run.checks) == 2
    assert [step.state for step in run.steps] == ["done"] * 7
    for number in range(1, 8):
        assert re.search(rf"\[{number}/7\] .* \d+\.\d\d s  ok", done.out), done
    assert "existing tests: ended with status 0" in done.out
    assert "1 vulnerability" in done.out
    written = {
        path.name.partition(".")[2].partition(".")[2] for path in either.workspace.reports.glob("night.*")
    }
    assert {"txt", "json", "html", "sarif", "junit.xml"} <= written
    assert promised(either)["rule"] == "FAST_FAIL_ON"
    assert run.pace == [] or sum(run.pace) == run.sent_requests
    assert (either.workspace.records / "rec_0001.sqlite").stat().st_size > 0
    nothing_is_left(either, engine_of)


JUNIT = """\
import datetime, sys, time, urllib.request
cases, begun = [], time.time()
for name, url in zip(("test_search", "test_greeting"), sys.argv[2:]):
    start = time.time()
    # JUnit's times are not exact enough for a request at the very border of two tests.
    time.sleep(0.05)
    urllib.request.urlopen(url, timeout=10).read()
    time.sleep(0.05)
    cases.append(f'<testcase file="tests/shop.py" line="7" name="{name}" time="{time.time() - start:.3f}"/>')
stamp = datetime.datetime.fromtimestamp(begun, datetime.UTC).isoformat()
with open(sys.argv[1], "w") as file:
    file.write(f'<testsuite name="shop" timestamp="{stamp}">{"".join(cases)}</testsuite>')
"""


def test_run_with_test_results_names_the_test_of_each_request_and_finding(fastci, target, tmp_path):
    words = ["run", "--target-uri", target.url, "--test-results", f"{tmp_path}/no.xml, {tmp_path}/r*.xml"]
    urls = (f"{target.url}/echo?q=hello", f"{target.url}/safe?q=hello")
    done = fastci(*words, "--", sys.executable, "-c", JUNIT, str(tmp_path / "results.xml"), *urls)
    assert done.status == 1, done
    assert "rec_0001: 2 of 2 baselines have a test" in done.out, done
    (finding,) = results(fastci).findings
    assert [place.test for place in finding.places] == ["tests/shop.py:7::test_search"]
    assert {check.test for check in results(fastci).checks} == {
        "tests/shop.py:7::test_search",
        "tests/shop.py:7::test_greeting",
    }


def test_steps_with_test_results_that_are_not_there_say_so_and_go_on(fastci, target):
    given = {"FAST_TEST_RESULTS": "reports/*.xml"}
    fastci("record", "--target-uri", target.url, **given)
    proxy = re.search(r"^FAST_PROXY=(.+)$", fastci.workspace.environment_file.read_text(), re.M)[1]
    with requests.Session() as tests:
        tests.trust_env, tests.proxies = False, {"http": proxy}
        assert tests.get(f"{target.url}/safe?q=1", timeout=30).ok
    told = "FAST_TEST_RESULTS tells no tests: there is no JUnit file reports/*.xml"
    for step in ("stop", "test"):
        done = fastci(step, **given)
        assert done.status == 0, done
        assert told in done.out


def test_run_of_a_pytest_in_an_environment_without_us_names_the_test_that_reaches_a_flaw(fastci, target):
    site = fastci.folder / "site"
    site.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("fast_action", "__editable__")) and entry.suffix != ".pth":
            (site / entry.name).symlink_to(entry)
    (fastci.folder / "test_pages.py").write_text(
        "import os\nimport urllib3\n\ndef test_echo():\n"
        "    proxy = urllib3.ProxyManager(os.environ['HTTP_PROXY'])\n"
        f"    proxy.request('GET', '{target.url}/echo?q=1')\n"
    )
    words = [sys.executable, "-S", "-m", "pytest", "-p", "no:cacheprovider", "test_pages.py"]
    done = fastci("run", "--target-uri", target.url, "--", *words, PYTHONPATH=str(site))
    assert done.status == 1, done
    (finding,) = results(fastci).findings
    assert finding.place.test.endswith("test_pages.py:4::test_echo")


def test_run_records_and_tests_with_two_different_nodes(either, engine_of, target):
    done = either("run", "--target-uri", target.url, "--", *sending(f"{target.url}/safe?q=1"))
    assert done.status == 0, done
    recorder = re.search(r"fast-recording-\w+", done.out)
    tester = re.search(r"fast-testing-\w+", done.out)
    assert recorder
    assert tester
    assert len(list(either.workspace.logs.glob("fast-*.log"))) == 2
    nothing_is_left(either, engine_of)


def test_run_gives_the_proxy_to_the_command_alone(either, target):
    seen = "import json, os; json.dump(dict(os.environ), open('seen.json', 'w'))"
    either("run", "--target-uri", target.url, "--", *sending(f"{target.url}/safe?q=1", then=seen))
    seen = json.loads((either.folder / "seen.json").read_text())
    assert seen["HTTP_PROXY"] == seen["https_proxy"] == seen["FAST_PROXY"]
    assert seen["NO_PROXY"] == ""
    assert seen["NODE_EXTRA_CA_CERTS"] == str(either.workspace.ca_file)
    assert "PROXY" not in json.dumps(list(either.environ))
    # Testing goes straight to the target.
    assert not any("via" in map(str.lower, headers) for _, headers in target.requests)


def test_run_of_tests_that_fail_keeps_the_record_and_does_not_test(either, engine_of, target):
    command = sending(f"{target.url}/echo?q=1", status=7)
    done = either("run", "--target-uri", target.url, "--", *command)
    assert done.status == 3, done
    assert "existing tests: ended with status 7" in done.out
    assert "security tests: not run" in done.out
    assert "[6/7]" not in done.out
    assert promised(either)["reason"] == "the existing tests failed"
    assert either.workspace.has_record("rec_0001")
    nothing_is_left(either, engine_of)


def test_run_of_tests_that_fail_tests_when_told_to_and_says_both(either, target):
    command = sending(f"{target.url}/safe?q=1", status=7)
    done = either("run", "--test-on-failure", "--target-uri", target.url, "--", *command)
    assert done.status == 3, done
    assert "existing tests: ended with status 7" in done.out
    assert "security tests: passed" in done.out


def test_run_with_the_target_down_says_so_before_anything_starts(either, engine_of, target):
    target.close()
    done = either("run", "--target-uri", target.url, "--", *sending(target.url))
    assert done.status == 3, done
    assert f"error: the target {target.url} cannot be reached" in done.err
    assert "connection refused" in done.err
    assert "[2/7]" not in done.out
    verdict = promised(either)
    assert (verdict["outcome"], verdict["rule"]) == ("technical", "completion")
    assert "cannot be reached" in verdict["reason"]
    nothing_is_left(either, engine_of)


def test_run_with_a_target_that_fails_every_request_says_so_first(either, engine_of, target):
    target.status = 500
    done = either("run", "--target-uri", target.url, "--", *sending(f"{target.url}/safe?q=1"))
    assert done.status == 3, done
    assert f"the target {target.url} is up, but answers with status 500" in done.err
    assert "[2/7]" not in done.out
    assert "status 500" in promised(either)["reason"]
    nothing_is_left(either, engine_of)


def test_run_that_recorded_nothing_explains_it(either, engine_of, target):
    done = either("run", "--target-uri", target.url, "--", sys.executable, "-c", "pass")
    assert done.status == 2, done
    assert "no request was recorded" in done.err
    assert "no request was recorded" in promised(either)["reason"]
    nothing_is_left(either, engine_of)


def test_run_on_a_port_that_is_taken_names_it(either, engine_of, target):
    port = target.url.rpartition(":")[2]
    done = either("run", "--port", port, "--", sys.executable, "-c", "pass")
    assert done.status == 2, done
    assert f"error: port {port} of this machine is taken" in done.err
    assert promised(either)["outcome"] == "technical"
    assert list(either.workspace.records.iterdir()) == []
    nothing_is_left(either, engine_of)


def test_run_on_a_chosen_port_listens_there(either, target):
    port = free_port()
    done = either("run", "--port", port, "--", *sending(f"{target.url}/safe?q=1"))
    assert done.status == 0, done
    assert f"at http://127.0.0.1:{port}" in done.out


def test_run_with_an_unwritable_report_folder_says_so_first(either, engine_of, target):
    (either.folder / "out").write_text("a file, not a folder")
    done = either("run", "--reports", "out", "--target-uri", target.url, "--", *sending(target.url))
    assert done.status == 3, done
    assert "report folder" in done.err
    assert "FAST_REPORTS" in done.err
    assert target.requests == []
    nothing_is_left(either, engine_of)


def test_run_with_wrong_values_names_each_and_starts_nothing(either, engine_of):
    arguments = ("--workers", "many", "--inactivity-timeout", "0", "--runtime", "doker")
    done = either("run", *arguments, "--", "true")
    assert done.status == 2, done
    for words in ("WORKERS='many'", "INACTIVITY_TIMEOUT='0'", "FAST_RUNTIME='doker'", "did you mean docker?"):
        assert words in done.err
    assert not either.workspace.root.exists()


def test_run_of_a_command_that_does_not_exist_says_so(either, engine_of, target):
    done = either("run", "--", "no-such-command-here")
    assert done.status == 2, done
    assert "no-such-command-here" in done.err
    assert "no-such-command-here" in promised(either)["reason"]
    nothing_is_left(either, engine_of)


def test_run_of_a_command_ended_by_a_signal_shows_it(either):
    done = either("run", "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    assert "ended with status 137" in done.out
    assert done.status == 3, done


def test_run_with_a_wrong_policy_tells_it_in_the_nodes_words(either, engine_of, target):
    done = either("run", "--policy", "no-such-policy", "--", *sending(f"{target.url}/safe?q=1"))
    assert done.status == 2, done
    assert "no-such-policy" in done.err
    assert "no-such-policy" in promised(either)["reason"]
    assert either.workspace.has_record("rec_0001")
    nothing_is_left(either, engine_of)


def test_run_with_files_of_the_workspace_brings_them_to_the_node(either, target):
    folder = either.workspace.root / "extensions"
    folder.mkdir(parents=True)
    (folder / "broken.yaml").write_text("meta-info:\n  - [\n")
    either("run", "--", *sending(f"{target.url}/safe?q=1"))
    (log,) = either.workspace.logs.glob("fast-testing-*.log")
    assert "broken.yaml" in log.read_text()


def test_run_with_a_recorder_killed_in_the_middle_keeps_the_record(either, engine_of, target):
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
    job = either.start("run", "--target-uri", target.url, "--", *sending(f"{target.url}/echo?q=1", then=wait))
    until(lambda: any(path == "/echo?q=1" for path, _ in target.requests), "the test's request")
    until(lambda: "\n200\n" in job.text(), "the answer to the test")
    kill_node(either, engine_of)
    (either.folder / "go").write_text("")
    done = job.wait()
    assert done.status == 3, done
    assert "the recorder" in done.err
    assert "rec_0001 holds what was recorded until then" in done.err
    assert "the recorder" in promised(either)["reason"]
    assert "existing tests: ended with status 0" in done.out
    nothing_is_left(either, engine_of)
    again = either("test")
    assert again.status == 1, again
    assert "1 vulnerability" in again.out


def test_two_runs_at_once_in_one_workspace_do_not_meet(either, engine_of, target):
    urls = (f"{target.url}/echo?q=1", f"{target.url}/safe?q=1")
    jobs = []
    for number, url in enumerate(urls):
        folder = either.folder / f"out{number}"
        folder.mkdir()
        jobs.append(
            either.start("run", "--test-run-name", f"run{number}", "--", *sending(url), output=folder)
        )
    done = [job.wait(120) for job in jobs]
    assert sorted(d.status for d in done) == [0, 1], done
    assert {path.name for path in either.workspace.records.iterdir()} == {
        "rec_0001.sqlite",
        "rec_0002.sqlite",
    }
    assert {path.name for path in either.workspace.runs.iterdir()} == {"tr_0001.json", "tr_0002.json"}
    nothing_is_left(either, engine_of)


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def kill_node(job, engine):
    """SIGKILL for the one node of this folder."""
    import os
    import signal

    if engine is not None:
        (container,) = engine.api.containers(filters={"label": job.label})
        engine.api.kill(container["Id"], "SIGKILL")
        return
    (facts,) = job.workspace.nodes.glob("*/node.json")
    os.kill(int(json.loads(facts.read_text())["who"].split("/")[2]), signal.SIGKILL)
