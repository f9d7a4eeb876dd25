"""`fastci node` as a container's engine runs it: environment, signals, console lines, exit status, files."""

import json
import re
import signal
import urllib.request

import pytest
from jobs import Started, until

from fastci.node.store import Store


class NodeHome:
    """The folders of one node, and a way to start it."""

    def __init__(self, fastci, folder):
        self.folder = folder
        self.store = Store(folder / "store")
        self._fastci = fastci

    def start(self, mode: str, **variables: str) -> Started:
        given = {
            "FAST_STORE": str(self.store.root),
            "FAST_REPORTS": str(self.folder / "reports"),
            "FAST_EXTENSIONS": str(self.folder / "extensions"),
            "FAST_AUTHS": str(self.folder / "auths"),
            "FAST_LISTEN": "127.0.0.1:0",
            **variables,
        }
        return self._fastci.start("node", CI_MODE=mode, **given)

    def record(self, *urls: str, **variables: str) -> str:
        """Record these requests; the record's id."""
        node = self.start("recording", **variables)
        send(proxy_of(node), *urls)
        node.send(signal.SIGTERM)
        done = node.wait()
        assert done.status == 0, done
        return re.search(r"TestRecord#(rec_\d+)", done.out)[1]

    def test(self, **variables: str):
        return self.start("testing", **{"FAST_EXIT_CODES": "detailed", **variables}).wait()

    def report(self, suffix: str):
        (path,) = (self.folder / "reports").glob(f"*.{suffix}")
        return path


@pytest.fixture
def home(fastci, tmp_path):
    return NodeHome(fastci, tmp_path)


def proxy_of(node: Started) -> str:
    node.says("starts to record")
    return "http://" + re.search(r"listening on (\S+)", node.text())[1]


def send(proxy: str, *urls: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy}))
    for url in urls:
        with opener.open(url, timeout=10) as answer:
            answer.read()


# recording


def test_recording_ended_by_sigterm_closes_the_record_and_exits_0(home, target):
    node = home.start("recording", TEST_RECORD_NAME="My record", BUILD_ID="77")
    send(proxy_of(node), f"{target.url}/safe?q=1", f"{target.url}/safe?q=2")
    node.send(signal.SIGTERM)
    done = node.wait()
    record = home.store.choose(build_id="77")
    assert done.status == 0, done
    assert (record.name, record.baselines, record.closed is not None) == ("My record", 2, True)
    assert re.search(r"^\[info\] TestRecord#rec_0001 My record starts to record$", done.out, re.M)
    assert re.search(r"^\[info\] Loaded 0 custom extensions for fast scanner$", done.out, re.M)
    assert re.search(r"^\[info\] Loaded \d\d default extensions for fast scanner$", done.out, re.M)


def test_recording_without_a_name_takes_the_documented_one(home, target):
    home.record(f"{target.url}/safe?q=1")
    assert re.fullmatch(r"TestRecord [A-Z][a-z]{2} \d\d \d\d:\d\d UTC", home.store.choose().name)


def test_recording_inactive_ends_by_itself_with_status_1_and_a_usable_record(home, target):
    node = home.start("recording", INACTIVITY_TIMEOUT="1")
    send(proxy_of(node), f"{target.url}/safe?q=1")
    done = node.wait()
    assert done.status == 1, done
    assert "no new baseline for 1 s" in done.err
    assert home.store.choose().baselines == 1


def test_recording_port_taken_is_one_error_and_status_1(home, target):
    taken = target.url.rpartition(":")[2]
    done = home.start("recording", FAST_LISTEN=f"127.0.0.1:{taken}").wait()
    assert done.status == 1, done
    assert [line for line in done.err.splitlines() if line.startswith("error:")] == done.err.splitlines()[:1]
    assert taken in done.err


def test_recording_refused_settings_start_nothing(home):
    done = home.start(
        "recording", INACTIVITY_TIMEOUT="0", ALLOWED_HOSTS="~(", FAST_EXIT_CODES="detailed"
    ).wait()
    assert done.status == 2, done
    assert "INACTIVITY_TIMEOUT='0' is not allowed" in done.err
    assert "ALLOWED_HOSTS='~(' is not allowed" in done.err
    assert not home.store.root.exists()


def test_node_without_a_mode_says_which_there_are(home):
    done = home.start("").wait()
    assert done.status == 1, done
    assert "CI_MODE is not set" in done.err
    assert "recording, testing, report" in done.err


def test_cloud_token_is_ignored_and_never_printed(home, target):
    node = home.start("recording", WALLARM_API_TOKEN="s3cret-token")
    proxy_of(node)
    node.send(signal.SIGTERM)
    done = node.wait()
    assert "WALLARM_API_ settings are ignored" in done.out
    assert "s3cret" not in done.text


# testing


def test_testing_a_flawed_target_exits_1_with_documented_lines_and_files(home, target):
    home.record(f"{target.url}/echo?q=a", f"{target.url}/safe?q=a")
    done = home.test(TEST_RUN_NAME="Nightly")
    assert done.status == 1, done
    for line in (
        r"^\[info\] Use TestRecord#rec_0001 .* for creating TestRun$",
        r"^\[info\] TestRun#tr_0001 Nightly created$",
        r"Found 1 vulnerability, marking the test set for baseline #bl_1 as failed$",
        r"No issues found\. Test set for baseline #bl_2 passed\.$",
        r"^\[info\] TestRun#tr_0001 failed$",
    ):
        assert re.search(line, done.out, re.M), f"{line}\n{done}"
    document = json.loads(home.report("json").read_text())
    assert (document["state"], document["baseline_count"], len(document["vulns"])) == ("failed", 2, 1)
    assert re.fullmatch(r"Nightly\.\d{10}\.json", home.report("json").name)
    assert "FAILED" in home.report("txt").read_text()
    assert home.report("html").read_text().startswith("<!doctype html>")


def test_testing_a_clean_target_exits_0(home, target):
    home.record(f"{target.url}/safe?q=a")
    done = home.test(FAST_EXIT_CODES="")
    assert done.status == 0, done
    assert "TestRun#tr_0001 passed" in done.out


def test_testing_by_a_name_that_was_given_leaves_the_reports_to_whoever_gave_it(home, target):
    home.record(f"{target.url}/safe?q=a")
    assert home.test(FAST_RUN_ID="tr_0007").status == 0
    assert (home.store.runs_dir / "tr_0007.json").is_file()
    assert not (home.folder / "reports").exists()


def test_testing_takes_the_record_of_its_build(home, target):
    home.record(f"{target.url}/safe?q=a", BUILD_ID="1")
    home.record(f"{target.url}/echo?q=a", BUILD_ID="2")
    assert home.test(BUILD_ID="1").status == 0
    assert home.test(TEST_RECORD_ID="rec_0002").status == 1


def test_testing_follows_a_target_that_moved(home, target):
    home.record(f"{target.url}/echo?q=a")
    done = home.test(TEST_RUN_URI=target.url.replace("127.0.0.1", "127.0.0.2"))
    assert "http://127.0.0.2" in done.out
    assert done.status == 3, done


def test_testing_without_a_record_says_so(home):
    done = home.test()
    assert done.status == 2, done
    assert "there is no test record" in done.err


def test_testing_an_empty_record_says_what_was_seen(home, target):
    home.record(f"{target.url}/safe?q=a", ALLOWED_HOSTS="other.test")
    done = home.test()
    assert done.status == 2, done
    assert "rec_0001 is empty" in done.err
    assert "1 x filtered 127.0.0.1" in done.err


def test_testing_a_target_that_is_down_is_a_technical_failure(home, target):
    home.record(f"{target.url}/safe?q=a")
    target.close()
    done = home.test()
    assert done.status == 3, done
    assert "Connection failed" in done.out
    assert json.loads(home.report("json").read_text())["baseline_check_tech_fail_count"] == 1


def test_testing_a_target_that_answers_500_to_everything_is_a_technical_failure(home, target):
    home.record(f"{target.url}/safe?q=a")
    target.status = 500
    done = home.test()
    assert done.status == 3, done
    assert json.loads(home.report("json").read_text())["state"] == "failed"


def test_testing_interrupted_reports_what_it_knows_and_says_so(home, target):
    home.record(*(f"{target.url}/safe?q={n}&z{n}=1" for n in range(30)))
    node = home.start("testing", FAST_EXIT_CODES="detailed", TEST_RUN_RPS="20", FAST_SKIP_DUPLICATES="false")
    until(lambda: len(target.requests) > 35, "test requests at the target")
    node.send(signal.SIGTERM)
    done = node.wait()
    assert done.status == 4, done
    document = json.loads(home.report("json").read_text())
    assert document["state"] == "interrupted"
    assert document["baseline_check_interrupted_count"] > 0


def test_testing_report_folder_not_writable_fails_before_anything_is_sent(home, target):
    home.record(f"{target.url}/safe?q=a")
    (home.folder / "reports").touch()
    sent = len(target.requests)
    done = home.test()
    assert done.status == 3, done
    assert "the report folder" in done.err
    assert len(target.requests) == sent


def test_broken_custom_extension_is_named_and_the_others_still_load(home, target):
    folder = home.folder / "extensions"
    folder.mkdir()
    (folder / "good.yaml").write_text(
        "meta-info: {type: info, title: Echo}\n"
        "generate: {payload: [STR_MARKER-probe], method: replace}\n"
        "detect: {response: [{body: STR_MARKER-probe}]}\n"
    )
    (folder / "broken.yaml").write_text(
        "meta-info:\n  type: nothing-known\ndetect: {response: [{status: 200}]}\n"
    )
    home.record(f"{target.url}/safe?q=a")
    done = home.test()
    assert "Loaded 1 custom extensions for fast scanner" in done.out
    assert re.search(r"broken\.yaml:2:\d+", done.out), done


def test_credentials_go_into_every_test_request_control_included(home, target):
    (home.folder / "auths").mkdir()
    (home.folder / "auths" / "auth.yaml").write_text("modify: {HEADER_Authorization_value: Bearer 42}\n")
    home.record(f"{target.url}/safe?q=a")
    recorded = len(target.requests)
    assert home.test().status == 0
    tested = target.requests[recorded:]
    assert tested
    assert {headers.get("Authorization") for _, headers in tested} == {"Bearer 42"}


# report


def test_report_mode_prints_and_writes_the_last_run_again(home, target):
    home.record(f"{target.url}/echo?q=a")
    home.test(TEST_RUN_NAME="One")
    for path in (home.folder / "reports").iterdir():
        path.unlink()
    sent = len(target.requests)
    done = home.start("report", FAST_EXIT_CODES="detailed").wait()
    assert done.status == 1, done
    assert len(target.requests) == sent
    assert home.report("txt").read_text().strip().splitlines()[0] in done.out
    assert home.report("json").name.startswith("One.")


def test_report_mode_of_an_unknown_run_says_so(home):
    done = home.start("report", TEST_RUN_ID="tr_0009", FAST_EXIT_CODES="detailed").wait()
    assert done.status == 2, done
    assert "there is no test run tr_0009" in done.err
