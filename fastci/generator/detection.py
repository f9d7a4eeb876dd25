"""What a project tells about itself: its CI, how its target starts and where it listens, its test command."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_MARKS = {
    ".github/workflows": "github",
    ".gitlab-ci.yml": "gitlab",
    "Jenkinsfile": "jenkins",
    ".circleci/config.yml": "circleci",
    "azure-pipelines.yml": "azure",
    "bitbucket-pipelines.yml": "bitbucket",
    "bamboo-specs": "bamboo",
}
_FORGES = {"github": "github", "gitlab": "gitlab", "bitbucket.org": "bitbucket", "dev.azure": "azure",
           "visualstudio.com": "azure"}  # fmt: skip
_COMPOSE = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_NOT_THE_TARGET = re.compile(
    r"postgres|mysql|maria|mongo|redis|rabbit|kafka|zookeeper|elastic|minio|memcached|mail|smtp|selenium|chrome|adminer",
    re.I,
)
"""Services of a compose file that are beside the application, by name or image."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found out, empty where nothing was; `why` names where each came from."""

    platform: str
    tests: str
    compose: str
    target_uri: str
    why: dict[str, str]


def detect_project(root: Path) -> Found:
    """Look at the project in this folder. Reads only; never raises for what it finds there."""
    found: dict[str, tuple[str, str]] = {}
    for key, look in (
        ("platform", _platforms), ("tests", _tests), ("compose", _compose_files), ("target_uri", _addresses),
    ):  # fmt: skip
        found[key] = next(look(root), ("", ""))
    return Found(
        **{key: value for key, (value, _) in found.items()},
        why={key: why for key, (_, why) in found.items() if why},
    )


def _platforms(root: Path) -> Iterator[tuple[str, str]]:
    for mark, platform in _MARKS.items():
        if (root / mark).exists():
            yield platform, mark
    remote = re.search(r"^\s*url\s*=\s*(\S+)", _text(root / ".git" / "config"), re.M)
    host = re.sub(r"^(\w+://)?([^@/]*@)?", "", remote[1]).lower() if remote else ""
    for word, platform in _FORGES.items():
        if word in re.split(r"[:/]", host)[0]:
            yield platform, "the git remote"


def _compose_files(root: Path) -> Iterator[tuple[str, str]]:
    yield from ((name, name) for name in _COMPOSE if (root / name).is_file())


def _addresses(root: Path) -> Iterator[tuple[str, str]]:
    """The first published port of a compose file that looks like the application's."""
    for name, _ in _compose_files(root):
        document = _mapping(lambda text: yaml.safe_load(text), root / name)
        services = document.get("services")
        for service, facts in (services if isinstance(services, dict) else {}).items():
            if not isinstance(facts, dict) or _NOT_THE_TARGET.search(f"{service} {facts.get('image', '')}"):
                continue
            ports = facts.get("ports")
            for port in ports if isinstance(ports, list) else ():
                if published := _published(port):
                    yield f"http://localhost:{published}", f"{name}, service {service}"


def _published(port: object) -> str:
    """The port of this machine in an entry of `ports`; empty where compose chooses it."""
    if isinstance(port, dict):
        text = str(port.get("published", ""))
    else:
        text = str(port).partition("/")[0].rpartition(":")[0].rpartition(":")[2]
    default = re.fullmatch(r"\$\{\w+:-(\d+)\}?", text)
    text = default[1] if default else text
    return text if re.fullmatch(r"\d{1,5}", text) else ""


def _tests(root: Path) -> Iterator[tuple[str, str]]:
    """Commands, the ones that drive a running application first."""
    package = _mapping(json.loads, root / "package.json")
    scripts = package.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    runner = next(
        (
            tool
            for lock, tool in (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"))
            if (root / lock).exists()
        ),
        "npm",
    )
    for name in ("test:e2e", "e2e", "test:functional", "test:integration", "test:api", "test"):
        command = scripts.get(name)
        # What `npm init` writes says itself that there are no tests.
        if isinstance(command, str) and "no test specified" not in command:
            yield (
                f"{runner} run {name}" if name != "test" else f"{runner} test",
                f"package.json, script {name}",
            )
    project = _mapping(tomllib.loads, root / "pyproject.toml")
    if "pytest" in str(project.get("tool", {}).keys()) or (root / "pytest.ini").exists():
        yield "pytest", "pytest's settings"
    for folder in ("tests", "test"):
        if any((root / folder).glob("test_*.py")) or (root / folder / "conftest.py").exists():
            yield f"pytest {folder}", f"the Python tests in {folder}/"
    for name, command in (
        ("mvnw", "./mvnw --batch-mode verify"),
        ("pom.xml", "mvn --batch-mode verify"),
        ("gradlew", "./gradlew check"),
        ("go.mod", "go test ./..."),
        ("Cargo.toml", "cargo test"),
        ("spec/spec_helper.rb", "bundle exec rspec"),
        ("artisan", "php artisan test"),
        ("phpunit.xml", "vendor/bin/phpunit"),
        ("phpunit.xml.dist", "vendor/bin/phpunit"),
    ):
        if (root / name).is_file():
            yield command, name
    for name in ("Makefile", "makefile"):
        target = re.search(
            r"^(e2e|functional-?tests?|integration-?tests?|test)\s*:(?!=)", _text(root / name), re.M
        )
        if target:
            yield f"make {target[1]}", f"{name}, target {target[1]}"


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def _mapping(read: Callable[[str], Any], path: Path) -> dict[str, Any]:
    """What a file says, {} for one that is missing or broken: that is for others to complain of."""
    with suppress(ValueError, yaml.YAMLError, RecursionError):
        document = read(_text(path))
        return document if isinstance(document, dict) else {}
    return {}
