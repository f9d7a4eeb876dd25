"""What is generated equals what is committed, and means to each platform what it should."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documented import documented_workflows

from fastci import generator
from fastci.cli.generate import schemas
from fastci.cli.options import NODE_ONLY
from fastci.generator.options import DECIDED

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "generator"
SCHEMAS = {
    "github": ["--builtin-schema", "vendor.github-workflows"],
    "gitlab": ["--builtin-schema", "vendor.gitlab-ci"],
    "circleci": ["--builtin-schema", "vendor.circle-ci"],
    "bitbucket": ["--builtin-schema", "vendor.bitbucket-pipelines"],
    "azure": [
        *("--builtin-schema", "vendor.azure-pipelines"),
        *("--regex-variant", "nonunicode", "--data-transform", "azure-pipelines"),
    ],
}
WITHOUT_SCHEMA = {"jenkins", "bamboo"}
"""Jenkins is Groovy; for Bamboo specs no schema can be had offline, so only their YAML is read."""


def check_schema(options: list[str], files: list[Path]) -> str:
    """What check-jsonschema says against these files; empty when they are valid."""
    command = [sys.executable, "-m", "check_jsonschema", "--quiet", *options, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr or f"status {done.returncode}"


@pytest.mark.parametrize("path", schemas())
def test_schema_equals_what_it_is_made_of(path: str):
    assert (ROOT / path).read_text() == schemas()[path](), "run: fastci generate docs"


@pytest.mark.parametrize("path", generator.ARTEFACTS)
def test_generated_file_equals_what_it_is_made_of(path: str):
    committed = (ROOT / path).read_text()
    assert committed == generator.ARTEFACTS[path](), "run: fastci generate docs"


def test_inputs_are_the_options_of_the_command_line():
    assert set(DECIDED) == set(NODE_ONLY)


def test_platforms_all_have_a_schema_or_a_reason():
    assert set(generator.PLATFORMS) == set(SCHEMAS) | WITHOUT_SCHEMA


@pytest.mark.parametrize("platform", SCHEMAS)
def test_definitions_are_valid_for_the_schema_of_the_platform(platform: str, tmp_path: Path):
    files = sorted(GOLDEN.glob(f"{platform}-*.yml"))
    assert files
    assert check_schema(SCHEMAS[platform], files) == ""
    broken = tmp_path / files[0].name
    text = files[0].read_text()
    for right, wrong in (("steps:", "stops:"), (" script:", " scrap:"), ("max-time: 60", "max-time: long")):
        text = text.replace(right, wrong)
    broken.write_text(text)
    assert check_schema(SCHEMAS[platform], [broken])


def test_bamboo_definitions_are_yaml_with_a_plan_and_its_jobs():
    for file in GOLDEN.glob("bamboo-*.yml"):
        document = yaml.safe_load(file.read_text())
        wanted = {job for stage in document["stages"] for each in stage.values() for job in each["jobs"]}
        assert wanted
        assert wanted <= set(document)


def test_action_is_valid_for_the_schema_of_actions():
    assert check_schema(["--builtin-schema", "vendor.github-actions"], [ROOT / "action.yml"]) == ""


COMPONENTS = sorted(path.name for path in (ROOT / "templates").glob("fast*.yml"))


@pytest.mark.parametrize("name", COMPONENTS)
def test_gitlab_component_is_a_header_with_inputs_and_a_valid_pipeline(name: str, tmp_path: Path):
    header, body = (ROOT / "templates" / name).read_text().split("\n---\n")
    inputs = yaml.safe_load(header)["spec"]["inputs"]
    for key, facts in inputs.items():
        if facts.get("type") == "number":
            # As GitLab does: the schema wants the number, not the words that stand for it.
            body = body.replace(f"$[[ inputs.{key} ]]", str(facts["default"]))
    pipeline = tmp_path / "pipeline.yml"
    pipeline.write_text(body)
    assert check_schema(SCHEMAS["gitlab"], [pipeline]) == ""


@pytest.mark.parametrize("name", COMPONENTS)
def test_gitlab_component_uses_exactly_the_inputs_it_declares(name: str):
    header, body = (ROOT / "templates" / name).read_text().split("\n---\n")
    declared = set(yaml.safe_load(header)["spec"]["inputs"])
    used = {part.split("]]")[0].strip().removeprefix("inputs.") for part in body.split("$[[")[1:]}
    assert used == declared


def test_github_definitions_and_action_raise_no_finding_of_zizmor(tmp_path: Path):
    # What is ours is named by its moving major tag, as the README tells users; everything else by commit.
    config = tmp_path / "zizmor.yml"
    config.write_text(
        "rules: {unpinned-uses: {config: {policies: {'org/fast-action': ref-pin, '*': hash-pin}}}}\n"
    )
    assert zizmor(config, [*sorted(GOLDEN.glob("github-*.yml")), ROOT / "action.yml"]) == ""


def test_github_workflows_of_the_documentation_raise_no_finding_of_zizmor(tmp_path: Path):
    # For reading: actions by their tags, as their own documentation names them.
    config = tmp_path / "zizmor.yml"
    config.write_text("rules: {unpinned-uses: {config: {policies: {'*': ref-pin}}}}\n")
    assert zizmor(config, documented_workflows(tmp_path)) == ""


def zizmor(config: Path, files: list[Path]) -> str:
    """What zizmor finds in these files; empty for nothing."""
    program = str(Path(sys.executable).with_name("zizmor"))
    command = [program, "--offline", "--no-progress", "--config", str(config), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_yaml_that_people_read_passes_yamllint():
    rules = (
        "{extends: default, rules: {line-length: disable, document-start: disable, braces: disable,"
        " truthy: {check-keys: false}, comments: {min-spaces-from-content: 1}}}"
    )
    files = [*sorted(GOLDEN.glob("*.yml")), ROOT / "action.yml"]
    files += [ROOT / "templates" / name for name in COMPONENTS]
    command = [sys.executable, "-m", "yamllint", "--strict", "-d", rules, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
