"""Any image of the documented contract is driven by the same steps: shown with one that is not ours."""

import json
import socket
import subprocess
from pathlib import Path

import pytest
from jobs import sending, until

from fastci.lifecycle.probe import is_free

pytestmark = pytest.mark.engine


def foreign(job, image, cloud, lan, *arguments, **environ):
    known = {"WALLARM_API_TOKEN": "secret-token", "WALLARM_API_HOST": cloud.host, "FAST_NETWORK": lan.name}
    known["TEST_RUN_POLICY_ID"] = ""
    return job.start(*arguments[:1], "--image", image, *arguments[1:], **{**known, **environ})


def test_foreign_image_with_a_flaw_is_recorded_tested_and_fails_the_build(
    fastci_docker, engine, standin_image, lan, lan_target, cloud
):
    urls = (f"{lan_target.url}/sql?q=1", f"{lan_target.url}/safe?q=2")
    command = ("run", "--target-uri", lan_target.url, "--test-run-name", "night", "--", *sending(*urls))
    done = foreign(fastci_docker, standin_image, cloud, lan, *command).wait(120)
    assert done.status == 1, done
    (report,) = fastci_docker.workspace.reports.glob("night.*.json")
    assert json.loads(report.read_text())["vulns"][0]["url"] == f"{lan_target.url}/sql?q=1"
    assert cloud.tokens == {"secret-token"}
    assert fastci_docker.nodes(engine) == []


@pytest.mark.xdist_group("port 8080")
def test_foreign_image_on_the_machines_network_reaches_a_target_on_localhost(
    fastci_docker, engine, standin_image, target, lan, cloud
):
    command = ("run", "--target-uri", target.url, "--", *sending(f"{target.url}/sql?q=1"))
    for _ in range(5):
        until(lambda: is_free(8080), "port 8080 of this machine")
        done = foreign(fastci_docker, standin_image, cloud, lan, *command, FAST_NETWORK="").wait(120)
        # A test beside this one may take the port meanwhile.
        if "is taken" not in done.err and "Address already in use" not in done.err:
            break
    assert done.status == 1, done
    assert "at http://127.0.0.1:8080" in done.out
    assert fastci_docker.nodes(engine) == []


@pytest.mark.xdist_group("port 8080")
def test_foreign_image_whose_port_is_taken_says_what_to_do(fastci_docker, engine, standin_image, lan, cloud):
    until(lambda: is_free(8080), "port 8080 of this machine")
    with socket.create_server(("127.0.0.1", 8080)):
        done = foreign(fastci_docker, standin_image, cloud, lan, "run", "--", "true", FAST_NETWORK="").wait(
            60
        )
    assert done.status == 2, done
    assert "port 8080" in done.err
    assert "FAST_NETWORK" in done.err
    assert fastci_docker.nodes(engine) == []


def test_foreign_image_without_a_flaw_passes(fastci_docker, engine, standin_image, lan, lan_target, cloud):
    command = ("run", "--target-uri", lan_target.url, "--", *sending(f"{lan_target.url}/safe?q=2"))
    done = foreign(fastci_docker, standin_image, cloud, lan, *command).wait(120)
    assert done.status == 0, done
    assert list(fastci_docker.workspace.reports.glob("*.txt"))
    assert fastci_docker.nodes(engine) == []


def test_foreign_image_that_only_its_supervisor_calls_ready_is_waited_for(
    fastci_docker, engine, supervised_image, lan, lan_target, cloud
):
    command = ("run", "--target-uri", lan_target.url, "--", *sending(f"{lan_target.url}/safe?q=2"))
    done = foreign(fastci_docker, supervised_image, cloud, lan, *command).wait(120)
    assert done.status == 0, done
    assert fastci_docker.nodes(engine) == []


def test_foreign_image_in_separate_commands_tests_what_it_recorded(
    fastci_docker, engine, standin_image, lan, lan_target, cloud
):
    for words, status in ((("record",), 0), (("stop",), 0), (("test",), 1)):
        done = foreign(fastci_docker, standin_image, cloud, lan, *words).wait(120)
        assert done.status == status, done
        if words == ("record",):
            script = f'. {fastci_docker.workspace.script_file}; exec "$@"'
            tests = ["sh", "-ec", script, "sh", *sending(f"{lan_target.url}/sql?q=1")]
            subprocess.run(tests, check=True, env=fastci_docker.environ)
    assert fastci_docker.nodes(engine) == []


def test_foreign_image_without_its_token_is_shown_with_its_own_words(
    fastci_docker, engine, standin_image, lan, lan_target, cloud
):
    command = ("run", "--", *sending(f"{lan_target.url}/safe?q=2"))
    done = foreign(fastci_docker, standin_image, cloud, lan, *command, WALLARM_API_TOKEN="").wait(120)
    assert done.status == 3, done
    assert "Can't create new instance - access denied" in done.err
    assert fastci_docker.nodes(engine) == []


def test_foreign_image_gets_extensions_and_credentials_at_the_documented_places(
    fastci_docker, standin_image, lan, lan_target, cloud
):
    for name in ("extensions/mine.yaml", "auths/login.yaml"):
        path = fastci_docker.workspace.root / name
        path.parent.mkdir(parents=True)
        path.write_text("x")
    command = ("run", "--", *sending(f"{lan_target.url}/safe?q=2"))
    foreign(fastci_docker, standin_image, cloud, lan, *command).wait(120)
    (log,) = fastci_docker.workspace.logs.glob("fast-testing-*.log")
    assert "/opt/custom_extensions holds ['mine.yaml']" in log.read_text()
    assert "/opt/dsl_auths holds ['login.yaml']" in log.read_text()


def test_foreign_image_keeps_the_token_out_of_sight(
    fastci_docker, engine, standin_image, lan, lan_target, cloud
):
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
    command = ("run", "--", *sending(f"{lan_target.url}/safe?q=2", then=wait))
    job = foreign(fastci_docker, standin_image, cloud, lan, *command)
    job.says("200")
    (container,) = engine.api.containers(filters={"label": fastci_docker.label})
    facts = engine.api.inspect_container(container["Id"])
    seen = json.dumps([facts["Config"]["Labels"], facts["Config"]["Cmd"], facts["Path"], facts["Args"]])
    assert "secret-token" not in seen
    arguments = b"".join(
        (Path("/proc") / str(pid) / "cmdline").read_bytes() for pid in fastci_docker.processes()
    )
    assert b"secret-token" not in arguments
    (fastci_docker.folder / "go").touch()
    done = job.wait(120)
    kept = "".join(path.read_text() for path in fastci_docker.workspace.logs.iterdir())
    assert "secret-token" not in done.text + kept


def test_missing_image_is_named_and_nothing_starts(fastci_docker, engine):
    done = fastci_docker("run", "--image", "fast-action-test/no-such-image:1", "--", "true")
    assert done.status == 2, done
    assert "the image fast-action-test/no-such-image:1 is not on this engine and cannot be pulled" in done.err
    assert fastci_docker.nodes(engine) == []
