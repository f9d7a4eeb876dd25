"""What `fastci init` finds out about a project, and what it writes and asks."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from fastci import cli, generator
from fastci.generator import detect_project

COMPOSE = """\
services:
  db: {image: "postgres:17", ports: ["5432:5432"]}
  web: {build: ., ports: ["127.0.0.1:3000:80"]}
"""


def project(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "tests"),
    [
        ({"package.json": json.dumps({"scripts": {"test": "jest", "test:e2e": "x"}})}, "npm run test:e2e"),
        ({"package.json": json.dumps({"scripts": {"test": "jest"}}), "yarn.lock": ""}, "yarn test"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, ""),
        ({"package.json": "{"}, ""),
        ({"package.json": '["scripts"]'}, ""),
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "pytest"),
        ({"tests/test_shop.py": ""}, "pytest tests"),
        ({"pom.xml": "<project/>"}, "mvn --batch-mode verify"),
        ({"gradlew": ""}, "./gradlew check"),
        ({"go.mod": "module x\n"}, "go test ./..."),
        ({"Makefile": "build:\n\ttrue\ntest: build\n\ttrue\n"}, "make test"),
        ({"Makefile": "test := x\n"}, ""),
        ({}, ""),
    ],
)
def test_test_command_of_a_project_is_found(tmp_path: Path, files: dict[str, str], tests: str):
    assert detect_project(project(tmp_path, files)).tests == tests


@pytest.mark.parametrize(
    ("files", "platform"),
    [
        ({".gitlab-ci.yml": ""}, "gitlab"),
        ({"Jenkinsfile": ""}, "jenkins"),
        ({".github/workflows/x.yml": ""}, "github"),
        ({".circleci/config.yml": ""}, "circleci"),
        ({".git/config": '[remote "origin"]\n\turl = git@gitlab.example.org:team/shop.git\n'}, "gitlab"),
        ({".git/config": '[remote "origin"]\n\turl = https://t:x@github.com/team/gitlab.git\n'}, "github"),
        ({".git/config": '[remote "origin"]\n\turl = https://dev.azure.com/team/shop\n'}, "azure"),
        ({".git/config": '[remote "origin"]\n\turl = https://code.example.org/github/shop\n'}, ""),
        ({".git/config": '[remote "o"]\n\turl = x\n', "bitbucket-pipelines.yml": ""}, "bitbucket"),
    ],
)
def test_platform_of_a_project_is_found(tmp_path: Path, files: dict[str, str], platform: str):
    assert detect_project(project(tmp_path, files)).platform == platform


@pytest.mark.parametrize(
    ("ports", "uri"),
    [
        ('["8080:80"]', "http://localhost:8080"),
        ('["0.0.0.0:8080:80/tcp"]', "http://localhost:8080"),
        ('["${PORT:-9000}:80"]', ""),
        ('[{target: 80, published: "8081"}]', "http://localhost:8081"),
        ('["80"]', ""),
        ("[3000]", ""),
        ("null", ""),
    ],
)
def test_address_of_the_target_is_the_published_port_of_the_application(tmp_path: Path, ports: str, uri: str):
    text = f"services:\n  db: {{image: mysql, ports: ['3306:3306']}}\n  app: {{image: x, ports: {ports}}}\n"
    assert detect_project(project(tmp_path, {"compose.yaml": text})).target_uri == uri


@pytest.mark.parametrize("text", ["services: [a]", "- a", "a: [", "services: {web: 1}", "&a [*a]"])
def test_compose_file_of_another_form_is_named_and_tells_no_address(tmp_path: Path, text: str):
    found = detect_project(project(tmp_path, {"compose.yml": text}))
    assert (found.compose, found.target_uri) == ("compose.yml", "")


@pytest.fixture
def fastci(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command in an empty folder; gives its status and all that it printed. `answers` are typed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, answers: list[str] | None = None) -> tuple[int, str]:
        typed = iter(answers or [])
        monkeypatch.setattr(sys.stdin, "isatty", lambda: answers is not None, raising=False)
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda text: print(text) or next(typed))
        with pytest.raises(SystemExit) as caught:
            cli.main(list(arguments))
        assert list(typed) == []
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out + printed.err

    return run


def test_init_in_a_project_that_tells_all_asks_nothing(tmp_path: Path, fastci):
    project(tmp_path, {"compose.yml": COMPOSE, "package.json": '{"scripts": {"test": "jest"}}'})
    status, text = fastci("init", "github", answers=[])
    assert status == 0, text
    assert yaml.safe_load((tmp_path / "fast.yml").read_text()) == {
        "tests": "npm test", "compose": "compose.yml", "target-uri": "http://localhost:3000",
    }  # fmt: skip
    written = (tmp_path / ".github" / "workflows" / "fast.yml").read_text()
    assert written == generator.generate("github", generator.load_options(tmp_path / "fast.yml"))
    assert fastci("generate", "github", "--check")[0] == 0


def test_init_asks_what_it_cannot_find_out(tmp_path: Path, fastci):
    answers = ["gitlab", "make check", "make serve &", "http://localhost:8000"]
    status, text = fastci("init", answers=answers)
    assert status == 0, text
    assert yaml.safe_load((tmp_path / "fast.yml").read_text()) == {
        "tests": "make check", "start": "make serve &", "target-uri": "http://localhost:8000",
    }  # fmt: skip
    assert "fastci run -- make check" in (tmp_path / ".gitlab-ci.yml").read_text()


@pytest.mark.parametrize("arguments", [(), ("--yes",)])
def test_init_that_may_not_ask_names_all_that_is_missing_and_writes_nothing(
    tmp_path: Path, fastci, arguments
):
    status, text = fastci("init", *arguments, answers=[] if arguments else None)
    assert status == 2
    assert "platform: " in text
    assert "tests: " in text
    assert list(tmp_path.iterdir()) == []


def test_init_that_may_not_ask_takes_what_it_is_told(tmp_path: Path, fastci):
    status, text = fastci("init", "azure", "--tests", "make check", "--shards", "3", "--test-run-rps", "20")
    assert status == 0, text
    assert (tmp_path / "azure-pipelines.yml").read_text().count('TEST_RUN_RPS: "20"') == 1
    assert 'parallel: "3"' in (tmp_path / "azure-pipelines.yml").read_text()


def test_init_beside_a_pipeline_that_is_there_leaves_it_alone(tmp_path: Path, fastci):
    project(tmp_path, {".gitlab-ci.yml": "build: {script: make}\n"})
    status, text = fastci("init", "--tests", "make check")
    assert status == 0, text
    assert "include: [{local: .gitlab/fast.yml}]" in text
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "build: {script: make}\n"
    assert "make check" in (tmp_path / ".gitlab" / "fast.yml").read_text()
    status, text = fastci("init", "--tests", "make other")
    assert status == 2
    assert "make check" in (tmp_path / ".gitlab" / "fast.yml").read_text()
    assert fastci("init", "--tests", "make other", "--force")[0] == 0
    assert "make other" in (tmp_path / ".gitlab-ci.yml").read_text()


def test_generate_without_a_configuration_takes_the_tests_that_are_there_or_says_so(tmp_path: Path, fastci):
    status, text = fastci("generate", "gitlab")
    assert status == 0
    assert "no test command was found here" in text
    assert "fastci run -- ./functional-tests.sh" in text
    project(tmp_path, {"go.mod": ""})
    assert "fastci run -- go test ./..." in fastci("generate", "gitlab")[1]


def test_generate_lays_options_over_the_configuration_that_is_there(tmp_path: Path, fastci):
    project(tmp_path, {"fast.yml": "tests: make a\nworkers: 3\n", "other.yml": "tests: make b\n"})
    status, text = fastci("generate", "circleci", "--workers", "4", "--shards", "2")
    assert status == 0
    assert "make a" in text
    assert 'WORKERS: "4"' in text
    assert "parallelism: 2" in text
    assert "make b" in fastci("generate", "circleci", "--config", "other.yml")[1]
    assert fastci("generate", "circleci", "--config", "missing.yml")[0] == 2
