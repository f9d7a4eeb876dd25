"""nektos/act at work: a repository with a workflow, its steps, what stands in for GitHub's artifacts."""

import os
from pathlib import Path

import yaml
from clients import Client, Lifetime, make_repository, product_files, tool

from fastci.generator.definitions import ACTIONS

UPLOAD = """\
name: upload-artifact
description: Copies what is uploaded to a folder of the machine that runs act.
inputs:
  name: {description: name, default: artifact}
  path: {description: path, required: true}
  if-no-files-found: {description: what then, default: warn}
  include-hidden-files: {description: dot files, default: 'false'}
  retention-days: {description: days, default: ''}
runs:
  using: composite
  steps:
    - shell: bash
      env:
        NAME: ${{ inputs.name }}
        WHAT: ${{ inputs.path }}
        HIDDEN: ${{ inputs.include-hidden-files }}
      run: |
        case "$WHAT" in .*) [ "$HIDDEN" = true ] || { echo "hidden files are left out"; exit 0; } ;; esac
        if find "$WHAT" 2>/dev/null | grep '["<>|*?:]'; then
          echo "::error::The path for one of the files in artifact is not valid"; exit 1
        fi
        mkdir -p "$ARTIFACTS/$NAME"
        [ ! -e "$WHAT" ] || cp -R "$WHAT/." "$ARTIFACTS/$NAME/"
"""
DOWNLOAD = """\
name: download-artifact
description: Copies what was uploaded back.
inputs:
  name: {description: name, required: true}
  path: {description: path, required: true}
runs:
  using: composite
  steps:
    - shell: bash
      env: {NAME: '${{ inputs.name }}', WHERE: '${{ inputs.path }}'}
      run: |
        mkdir -p "$WHERE"
        cp -R "$ARTIFACTS/$NAME/." "$WHERE/"
"""


class Act:
    """Runs workflows of a repository below a folder; `environ` is what all of their steps see."""

    def __init__(self, folder: Path, product: Path, **environ: str) -> None:
        self.folder = folder
        self.lifetime = Lifetime()
        self.product = product
        self._environ = environ
        self.artifacts = folder / "artifacts"
        self._clients: list[Client] = []
        self._replaced = {"org/fast-action@v1": product}
        for key, text in (("upload", UPLOAD), ("download", DOWNLOAD)):
            stand_in = folder / key
            stand_in.mkdir()
            (stand_in / "action.yml").write_text(text)
            self._replaced[ACTIONS[key].split(" ")[0]] = stand_in

    def start(
        self,
        workflow: str,
        *,
        shop: bool = False,
        image: str = "-self-hosted",
        bind: bool = False,
        inside: bool = False,
        **environ: str,
    ) -> Client:
        """Run it on this machine, or in containers of an image; `bind`: these have one workspace.

        `inside`: the repository is the one of the action.
        """
        repository = make_repository(
            self.folder / f"repository{len(self._clients)}",
            {".github/workflows/fast.yml": workflow, **(product_files(self.product) if inside else {})},
            shop=shop,
        )
        if bind:
            self.artifacts = repository / "artifacts"
        given = {
            "ARTIFACTS": str(self.artifacts),
            "FAST_DEADLINE": str(self.lifetime.seconds),
            "INACTIVITY_TIMEOUT": "120",
            **self._environ,
            **environ,
        }
        if base := os.environ.get("FAST_BASE_IMAGE"):
            given.setdefault("FAST_BASE_IMAGE", base)
        command = [tool("act"), "push", "--platform", f"ubuntu-latest={image}", "--pull=false", "--rm"]
        command += ["--no-cache-server", "--workflows", ".github/workflows/fast.yml"]
        command += ["--bind"] if bind else []
        for name, folder in self._replaced.items():
            command += ["--local-repository", f"{name}={folder}"]
        for name, value in given.items():
            command += ["--env", f"{name}={value}"]
        log = self.folder / f"act{len(self._clients)}.log"
        self._clients.append(Client(command, repository, log, dict(os.environ)))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.close()


def job(*steps: dict[str, object], **facts: object) -> str:
    """A workflow of one job with these steps, and whatever else is said of it."""
    jobs = {"fast": {"runs-on": "ubuntu-latest", **facts, "steps": list(steps)}}
    return yaml.safe_dump({"on": "push", "jobs": jobs}, sort_keys=False, width=1000)


def fast(**inputs: str) -> dict[str, object]:
    return {"id": "fast", "uses": "org/fast-action@v1", "with": inputs}
