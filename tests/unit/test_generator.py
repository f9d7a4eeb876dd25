"""Job definitions: golden files, quoting, and what is refused."""

import os
import shlex
from pathlib import Path

import pytest
import yaml

from fastci import generator
from fastci.config import VARIABLES
from fastci.errors import ConfigurationError, UsageError
from fastci.generator.artefacts import render_action, render_component, render_keys
from fastci.generator.options import DECIDED
from fastci.generator.templates import as_command, block_yaml, quote_groovy, quote_yaml

GOLDEN = Path(__file__).parents[1] / "golden" / "generator"
PLAIN = {"tests": "npm test", "target-uri": "http://localhost:3000"}
RICH = {
    "tests": "cd shop && npm test -- --reporter='dot'\necho \"all done\"",
    "prepare": "npm ci",
    "compose": "deploy/compose.yml",
    "target-uri": "http://localhost:3000",
    "test-run-policy-id": "deploy/fast policy.yml",
    "allowed-hosts": r"~^shop\.(test|local)$",
    "test-run-stop-on-first-fail": True,
}
IMAGE = {"tests": "npm test", "target-image": "registry.example.org/shop:1", "target-port": 3000}
CLOUD = {**PLAIN, "image": "wallarm/fast:2.14"}


def cases() -> dict[str, tuple[str, dict[str, object]]]:
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for platform in generator.PLATFORMS:
        for flow in generator.FLOWS_OF.get(platform, tuple(generator.FLOWS)):
            found[f"{platform}-{flow}"] = (platform, {**(RICH if flow != "run" else PLAIN), "flow": flow})
        found[f"{platform}-shards"] = (platform, {**RICH, "shards": 3})
        found[f"{platform}-image"] = (platform, IMAGE)
        found[f"{platform}-cloud"] = (platform, CLOUD)
    for flow in ("run", "steps", "jobs"):
        found[f"jenkins-scripted-{flow}"] = ("jenkins", {**RICH, "flow": flow, "style": "scripted"})
    found["jenkins-scripted-shards"] = ("jenkins", {**RICH, "shards": 2, "style": "scripted"})
    found["gitlab-test-shards"] = ("gitlab", {**PLAIN, "flow": "test", "shards": 2})
    for platform in ("gitlab", "github", "circleci", "bitbucket"):
        found[f"{platform}-service"] = (platform, {**IMAGE, "node": "service", "prepare": "npm ci"})
        found[f"{platform}-service-shards"] = (platform, {**PLAIN, "node": "service", "shards": 2})
        found[f"{platform}-service-test"] = (platform, {**IMAGE, "node": "service", "flow": "test"})
    found["gitlab-dind"] = (
        "gitlab",
        {**RICH, "flow": "jobs", "engine": "dind", "target-uri": "http://docker:3000"},
    )
    return found


@pytest.mark.parametrize("case", cases())
def test_definition_for_options_equals_golden_file(case: str):
    platform, options = cases()[case]
    path = GOLDEN / (f"{case}.groovy" if platform == "jenkins" else f"{case}.yml")
    text = generator.generate(platform, generator.read_options(options))
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"UPDATE_GOLDEN=1 pytest {Path(__file__).name} writes them again"


def test_golden_files_without_a_case_do_not_exist():
    assert {path.stem for path in GOLDEN.iterdir()} == set(cases())


@pytest.mark.parametrize("case", [case for case in cases() if not case.startswith("jenkins")])
def test_definition_read_as_yaml_holds_the_scripts_unchanged(case: str):
    platform, values = cases()[case]
    document = yaml.safe_load(generator.generate(platform, generator.read_options(values)))
    scalars = list(texts(document))
    if values.get("flow") == "test":
        wanted = "fastci test" if platform != "github" else "testing"
    elif "\n" in str(values["tests"]) and platform != "gitlab":
        wanted = str(values["tests"])
    else:
        wanted = str(values["tests"]).splitlines()[0]
    assert any(wanted in scalar for scalar in scalars)


def texts(value: object):
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    else:
        yield str(value)


def test_github_expressions_of_the_user_pass_untouched():
    options = generator.read_options({"tests": "npm test -- ${{ matrix.suite }} @{ x }@"})
    run = yaml.safe_load(generator.generate("github", options))["jobs"]["fast"]["steps"][1]["with"]["run"]
    assert shlex.split(run) == ["sh", "-ec", "npm test -- ${{ matrix.suite }} @{ x }@"]


@pytest.mark.parametrize(
    "script", ["npm test", "A=1 npm test", "a && b", "it's", "one\ntwo", "x > y", "$HOME/x"]
)
def test_command_for_any_script_means_the_same_without_and_with_a_shell(script: str):
    words = shlex.split(as_command(script))
    assert words in (script.split(" "), ["sh", "-ec", script])
    assert words[0] == "sh" or not set(script) & set("&|;<>$'\"\n")


@pytest.mark.parametrize(
    "text",
    ["on", "1.5", "0x1", "a: b", "a #b", "- a", "*x", "&x", "!x", "{a}", "[a]", "'", '"', "a\\b", "a\nb", "",
     "null", "~", "http://x:1/?a=b", "%x", "@x", "`x`", "é", " a ", "a:", "1:30", "2020-01-01", ".5", "="],
)  # fmt: skip
def test_yaml_scalar_of_any_text_reads_back(text: str):
    assert yaml.safe_load(f"key: {quote_yaml(text)}\n") == {"key": text}


@pytest.mark.parametrize("script", ["npm test", "a\nb", "a: b", "x # y", "echo 'a'\n\n  indented"])
def test_yaml_block_of_any_script_reads_back(script: str):
    assert yaml.safe_load(f"key: {block_yaml(script, 4)}\n")["key"].rstrip("\n") == script


def test_groovy_literal_of_quotes_backslashes_and_lines_is_escaped():
    assert quote_groovy("it's $HOME \\d") == r"'it\'s $HOME \\d'"
    assert quote_groovy("a\nb") == "'''\\\na\nb\n'''"


def test_options_with_several_faults_report_all_of_them():
    with pytest.raises(ConfigurationError) as caught:
        generator.read_options(
            {
                "flow": "walk",
                "test": "npm test",
                "start": "x",
                "compose": "y",
                "test-run-rps": 5000,
                "wallarm-api-token": "t",
                "prepare": ["a"],
            }
        )
    faults = "\n".join(caught.value.faults)
    for wanted in (
        "flow: 'walk' is not one of run, steps, jobs, test",
        "test: there is no such key; did you mean tests?",
        "tests: the command that runs the functional tests is missing",
        "start, compose and target-image exclude each other",
        "TEST_RUN_RPS='5000' is not allowed",
        "wallarm-api-token: is a secret",
        "prepare: a single value is wanted, not list",
    ):
        assert wanted in faults


def test_options_file_is_read_with_settings_under_their_input_names(tmp_path: Path):
    file = tmp_path / "fast.yml"
    file.write_text("tests: npm test\ntest-run-rps: 20\ntest-run-stop-on-first-fail: true\n")
    options = generator.load_options(file)
    assert options.tests == "npm test"
    assert options.settings == {"TEST_RUN_RPS": "20", "TEST_RUN_STOP_ON_FIRST_FAIL": "true"}


@pytest.mark.parametrize("content", ["- a", "a: [", "", "\x00"])
def test_options_file_that_holds_no_options_is_a_usage_error(tmp_path: Path, content: str):
    file = tmp_path / "fast.yml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"fast\.yml"):
        generator.load_options(file)


def test_platform_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="did you mean gitlab"):
        generator.generate("gitlap", generator.read_options(PLAIN))


def test_flow_that_a_platform_does_not_have_is_refused():
    with pytest.raises(UsageError, match="flow: steps is not made for circleci"):
        generator.generate("circleci", generator.read_options({**PLAIN, "flow": "steps"}))


def test_node_as_a_service_is_refused_where_it_cannot_be():
    for platform in ("azure", "jenkins", "bamboo"):
        with pytest.raises(UsageError, match=f"node: service is not made for {platform}") as refused:
            generator.generate(platform, generator.read_options({**IMAGE, "node": "service"}))
        assert "services" in refused.value.why
    with pytest.raises(ConfigurationError) as caught:
        generator.read_options({**CLOUD, "node": "service", "flow": "run", "start": "npm start"})
    faults = "\n".join(caught.value.faults)
    assert "needs flow: jobs" in faults
    assert "a target that is a service too" in faults
    assert "wallarm/fast keeps its records in its cloud" in faults


def test_engine_as_a_service_is_refused_where_the_target_could_not_be_seen():
    with pytest.raises(UsageError, match="engine: dind is not made for azure"):
        generator.generate("azure", generator.read_options({"tests": "npm test", "engine": "dind"}))
    with pytest.raises(ConfigurationError) as caught:
        generator.read_options(
            {**IMAGE, "engine": "dind", "node": "service", "target-uri": "http://localhost"}
        )
    faults = "\n".join(caught.value.faults)
    assert "http://docker:PORT, not at localhost" in faults
    assert "sees no services of the job" in faults
    assert "exclude each other" in faults


def test_node_that_shares_localhost_with_its_target_leaves_it_its_port():
    options = generator.read_options({**IMAGE, "node": "service", "target-port": 8080})
    for platform in ("circleci", "bitbucket"):
        text = generator.generate(platform, options)
        assert "FAST_LISTEN: 0.0.0.0:8081" in text.replace('"', "")
        assert "node=http://127.0.0.1:8081" in text
    assert "node=http://fast:8080" in generator.generate("github", options)


@pytest.mark.parametrize("shards", [0, 101, "many", -1])
def test_shards_out_of_range_are_refused(shards: object):
    with pytest.raises(ConfigurationError) as caught:
        generator.read_options({**PLAIN, "shards": shards})
    assert caught.value.faults == [f"shards: '{shards}' is not a number of shards; 1 to 100"]


def test_shards_take_the_flow_that_can_have_them_unless_another_is_named():
    assert generator.read_options({**PLAIN, "shards": 2}).flow == "jobs"
    with pytest.raises(ConfigurationError) as caught:
        generator.read_options({**PLAIN, "shards": 2, "flow": "run", "shard": "1/2"})
    assert any("needs flow: jobs" in fault for fault in caught.value.faults)
    assert any("shard: is decided by the steps" in fault for fault in caught.value.faults)


@pytest.mark.parametrize("platform", generator.PLATFORMS)
def test_shards_of_a_definition_are_all_tested_and_put_together(platform: str):
    text = generator.generate(platform, generator.read_options({**PLAIN, "shards": 3}))
    many = {"github": "shard: [1, 2, 3]", "gitlab": "parallel: 3", "circleci": "parallelism: 3",
            "azure": 'parallel: "3"', "jenkins": "shard: '3/3'", "bamboo": "FAST_SHARD=3/3"}  # fmt: skip
    assert many.get(platform, "- step:") in text
    if platform == "bitbucket":
        assert text.count("FAST_SHARD=auto") == 3
    assert text.count("merge: true" if platform == "jenkins" else "fastci report --merge") == 1


@pytest.mark.parametrize("style", ["declarative", "scripted"])
def test_script_in_a_jenkinsfile_is_not_indented(style: str):
    start = "cat <<END >x\n  two\nEND\nserve &"
    values = {**PLAIN, "start": start, "stop": "kill 1", "style": style}
    for more in ({}, {"flow": "jobs"}, {"shards": 2}):
        text = generator.generate("jenkins", generator.read_options({**values, **more}))
        assert f"'''\\\n{start}\n'''" in text


def test_options_written_to_a_file_read_back(tmp_path: Path):
    values = {**RICH, "shards": "2"}
    file = tmp_path / "fast.yml"
    file.write_text(generator.render_options(values, platform="gitlab", path="x.yml"))
    assert generator.load_options(file) == generator.read_options(values)


def test_check_of_the_generated_text_is_empty_and_of_another_shows_the_line():
    options = generator.read_options(PLAIN)
    text = generator.generate("gitlab", options)
    assert generator.check("gitlab", options, text) == []
    changed = generator.check("gitlab", options, text.replace("npm test", "npm run test"))
    assert any(line.startswith("-") and "npm run test" in line for line in changed)
    assert any(line.startswith("+") and "npm test" in line for line in changed)


def test_artefacts_written_into_an_empty_folder_are_then_current(tmp_path: Path):
    assert generator.stale_artefacts(tmp_path) == list(generator.ARTEFACTS)
    assert generator.write_artefacts(tmp_path) == list(generator.ARTEFACTS)
    assert generator.stale_artefacts(tmp_path) == []
    (tmp_path / "action.yml").write_text("name: other\n")
    assert generator.stale_artefacts(tmp_path) == ["action.yml"]


def test_every_settable_variable_is_in_action_component_and_jenkins_keys():
    action = yaml.safe_load(render_action())
    spec, _ = yaml.safe_load_all(render_component())
    groovy = render_keys()
    for variable in VARIABLES.values():
        if variable.name in DECIDED:
            assert variable.input not in {*action["inputs"], *spec["spec"]["inputs"]}
            continue
        assert variable.input in action["inputs"]
        assert (variable.input in spec["spec"]["inputs"]) is not variable.secret
        assert (f"{variable.key}: '{variable.name}'" in groovy) is not variable.secret
