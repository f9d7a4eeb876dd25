import pytest

from fastci.config import VARIABLES, Settings, node_variables, parse_settings, render_variables, secret_values
from fastci.errors import ConfigurationError, ExitStatus

DOCUMENTED = (
    "CI_MODE", "WALLARM_API_TOKEN", "WALLARM_API_HOST", "WALLARM_API_USE_SSL", "WALLARM_API_CA_VERIFY",
    "TEST_RECORD_NAME", "INACTIVITY_TIMEOUT", "ALLOWED_HOSTS", "BUILD_ID", "TEST_RECORD_ID", "TEST_RUN_NAME",
    "TEST_RUN_DESC", "TEST_RUN_POLICY_ID", "TEST_RUN_RPS", "TEST_RUN_STOP_ON_FIRST_FAIL", "TEST_RUN_URI",
    "FILE_EXTENSIONS_TO_EXCLUDE", "WORKERS", "PROCESSES", "TEST_RUN_ID", "GIT_EXTENSIONS",
    "BACKEND_HTTPS_PORTS", "CA_CERT", "CA_KEY",
)  # fmt: skip


def faults_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(environ)
    return caught.value.faults


def test_table_holds_every_documented_variable():
    assert [name for name in DOCUMENTED if name not in VARIABLES] == []


def test_settings_nothing_given_documented_defaults():
    settings = parse_settings({})
    assert settings == Settings()
    assert (settings.inactivity_timeout, settings.workers, settings.processes) == (600, 10, 1)
    assert settings.test_run_policy_id == "default"
    assert settings.backend_https_ports == (443,)


def test_settings_empty_values_count_as_not_set():
    assert parse_settings({"TEST_RUN_RPS": "", "CI_MODE": "  "}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("TEST_RUN_RPS", "1000", 1000),
        ("INACTIVITY_TIMEOUT", "691200", 691200),
        ("PROCESSES", "auto", 0),
        ("PROCESSES", "3", 3),
        ("TEST_RUN_STOP_ON_FIRST_FAIL", "True", True),
        ("FILE_EXTENSIONS_TO_EXCLUDE", "jpg|ico|png", ("jpg", "ico", "png")),
        ("BACKEND_HTTPS_PORTS", "443;3000;8091", (443, 3000, 8091)),
        ("FAST_LISTEN", "127.0.0.1:0", ("127.0.0.1", 0)),
        ("TEST_RUN_URI", "http://app-test:3000/", "http://app-test:3000"),
        ("TEST_RUN_URI", "https://[::1]:8443", "https://[::1]:8443"),
        ("TEST_RECORD_ID", "rec_0001", "rec_0001"),
    ],
)
def test_settings_allowed_value_parsed(name: str, text: str, value: object):
    assert getattr(parse_settings({name: text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TEST_RUN_RPS", "0"),
        ("TEST_RUN_RPS", "1001"),
        ("TEST_RUN_RPS", "-1"),
        ("TEST_RUN_RPS", "1e3"),
        ("TEST_RUN_RPS", "٣"),
        ("INACTIVITY_TIMEOUT", "691201"),
        ("TEST_RUN_STOP_ON_FIRST_FAIL", "maybe"),
        ("CI_MODE", "replay"),
        ("BUILD_ID", "a b"),
        ("TEST_RUN_URI", "app-test:3000"),
        ("TEST_RUN_URI", "http://app-test:99999"),
        ("TEST_RUN_URI", "ftp://app-test"),
        ("TEST_RECORD_ID", "0001"),
        ("TEST_RUN_ID", "rec_0001"),
        ("BACKEND_HTTPS_PORTS", "443;x"),
        ("FAST_LISTEN", "8080x"),
        ("ALLOWED_HOSTS", "~["),
        ("PROCESSES", "half"),
    ],
)
def test_settings_value_not_allowed_fault_names_variable_value_and_allowed(name: str, text: str):
    (fault,) = faults_of({name: text})
    assert fault.startswith(f"{name}={text!r} is not allowed: must be {VARIABLES[name].kind.allowed}")


def test_settings_many_faults_all_reported_at_once():
    faults = faults_of({"TEST_RUN_RPS": "5000", "WORKERS": "none", "CI_MODE": "x", "CA_CERT": "a.pem"})
    assert [fault.split("=")[0].split(" ")[0] for fault in faults] == [
        "CI_MODE", "TEST_RUN_RPS", "WORKERS", "CA_CERT",
    ]  # fmt: skip


def test_settings_choice_nearly_right_suggests():
    (fault,) = faults_of({"CI_MODE": "recordin"})
    assert fault.endswith("did you mean recording?")


def test_settings_reserved_name_nearly_known_is_refused():
    (fault,) = faults_of({"TEST_RUN_RSP": "5"})
    assert fault == "TEST_RUN_RSP: there is no such variable; did you mean TEST_RUN_RPS?"


def test_settings_foreign_names_are_left_alone():
    assert (
        parse_settings({"BUILD_IDS": "1", "WORKER": "x", "PATH": "/bin", "FAST_FORWARD": "1"}) == Settings()
    )


def test_settings_rps_of_baseline_above_run_contradicts():
    (fault,) = faults_of({"TEST_RUN_RPS": "10", "FAST_BASELINE_RPS": "20"})
    assert "FAST_BASELINE_RPS=20 is above TEST_RUN_RPS=10" in fault


def test_settings_alias_accepted_and_documented_name_wins():
    assert parse_settings({"POLICY_ID": "quick"}).test_run_policy_id == "quick"
    both = {"POLICY_ID": "quick", "TEST_RUN_POLICY_ID": "thorough"}
    assert parse_settings(both).test_run_policy_id == "thorough"


def test_configuration_error_status_is_usage():
    with pytest.raises(ConfigurationError) as caught:
        parse_settings({"WORKERS": "-1"})
    assert caught.value.status is ExitStatus.USAGE
    assert any("WORKERS='-1'" in line for line in caught.value.lines())


def test_secret_value_never_in_fault_or_node_of_it_lost():
    environ = {"WALLARM_API_TOKEN": "s3cret", "TEST_RUN_RPS": "7", "FAST_RUNTIME": "docker", "HOME": "/x"}
    assert secret_values(environ) == ["s3cret"]
    assert node_variables(environ) == {"WALLARM_API_TOKEN": "s3cret", "TEST_RUN_RPS": "7"}


def test_secret_values_hold_the_password_of_credentials_alone_too():
    environ = {
        "FAST_PROXY_AUTH": "ann:open:sesame", "FAST_UPSTREAM_PROXY": "http://bob:hunter2x@proxy:3128",
        "FAST_STORE": "postgresql://fast:kn0ck@db/fast",
    }  # fmt: skip
    assert secret_values(environ) == [
        "ann:open:sesame", "http://bob:hunter2x@proxy:3128", "open:sesame", "hunter2x", "kn0ck",
    ]  # fmt: skip
    bare = {"FAST_UPSTREAM_PROXY": "http://proxy:3128", "FAST_STORE": "postgresql://fast@db:5432/fast"}
    assert secret_values(bare) == ["http://proxy:3128"]


@pytest.mark.parametrize(
    ("name", "option", "input_name", "key"),
    [
        ("TEST_RUN_RPS", "--test-run-rps", "test-run-rps", "testRunRps"),
        ("FAST_RUNTIME", "--runtime", "runtime", "runtime"),
        ("ALLOWED_HOSTS", "--allowed-hosts", "allowed-hosts", "allowedHosts"),
    ],
)
def test_variable_names_all_derive_from_one_row(name: str, option: str, input_name: str, key: str):
    variable = VARIABLES[name]
    assert (variable.option, variable.input, variable.key) == (option, input_name, key)


def test_options_of_all_rows_are_distinct():
    options = [variable.option for variable in VARIABLES.values()]
    assert sorted(options) == sorted(set(options))


def test_rendered_table_has_a_row_for_each_variable():
    text = render_variables()
    assert all(f"| `{name}`" in text for name in VARIABLES)


@pytest.mark.parametrize(("value", "shard"), [("1/1", (1, 1)), ("2/5", (2, 5)), ("1000/1000", (1000, 1000))])
def test_shard_of_the_right_form_is_read(value, shard):
    assert parse_settings({"FAST_SHARD": value}).fast_shard == shard


@pytest.mark.parametrize("value", ["0/3", "4/3", "3", "1/0", "a/b", "1/1001", "auto", "-1/2"])
def test_shard_of_another_form_is_refused_with_what_is_allowed(value):
    with pytest.raises(ConfigurationError) as caught:
        parse_settings({"FAST_SHARD": value})
    assert "i/n with 1 <= i <= n" in caught.value.faults[0]


def test_variables_that_a_recording_exports_are_no_faults_for_a_later_command():
    exported = {"FAST_PROXY": "http://127.0.0.1:1", "FAST_CA_FILE": "ca.pem", "FAST_BROWSER_ARGS": "--a"}
    assert parse_settings(exported) == parse_settings({})


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("45", 45)])
def test_time_is_read_with_its_unit(text: str, seconds: int):
    assert parse_settings({"TEST_RUN_BUDGET": text}).test_run_budget == seconds


@pytest.mark.parametrize("text", ["0", "soon", "-5m", "5 minutes", "9d"])
def test_time_that_is_none_is_refused(text: str):
    with pytest.raises(ConfigurationError) as caught:
        parse_settings({"TEST_RUN_BUDGET": text})
    assert "a time like 90s" in "\n".join(caught.value.lines())
