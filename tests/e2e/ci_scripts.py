"""Generated definitions of platforms whose own clients cannot be had, as jobs of scripts that bash can run.

Each reader gives the jobs in the order in which the platform runs them. What a platform does around the
scripts is done as it documents it: which shell reads them, what is carried from job to job, which variables
are there.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import yaml

BASH = ("bash", "-eo", "pipefail")


@dataclass(frozen=True, kw_only=True)
class Act:
    """One thing that a job does: `script` is run, `keeps` goes to the shelf, `takes` comes from it.

    Both are (name on the shelf, path in the workspace); `always` happens after a failure too.
    """

    script: str = ""
    shell: tuple[str, ...] = BASH
    keeps: tuple[str, str] | None = None
    takes: tuple[str, str] | None = None
    always: bool = False


@dataclass(frozen=True, kw_only=True)
class Container:
    image: str
    environ: dict[str, str] = field(default_factory=dict)
    user: str | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """`containers` are the one of its scripts and then its services, where the platform runs jobs in them."""

    name: str
    environ: dict[str, str] = field(default_factory=dict)
    acts: list[Act]
    after_failure: bool = False
    containers: tuple[Container, ...] = ()


def circleci(document: dict[str, Any]) -> Iterator[Job]:
    """Every `run` has a shell of its own; a workspace is carried from job to job, its paths as they are."""
    for number, entry in enumerate(document["workflows"]["fast"]["jobs"]):
        name, facts = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        job = document["jobs"][name]
        after_failure = any(isinstance(needed, dict) for needed in facts.get("requires", []))
        for node in range(job.get("parallelism", 1)):
            acts = []
            for step in job["steps"]:
                kind, given = (step, {}) if isinstance(step, str) else next(iter(step.items()))
                if kind == "run":
                    acts.append(Act(script=given["command"], always=given.get("when") == "always"))
                elif kind == "attach_workspace":
                    acts.append(Act(takes=("workspace", given["at"])))
                elif kind == "persist_to_workspace":
                    acts += [Act(keeps=(f"workspace/{path}", path)) for path in given["paths"]]
                elif kind == "store_artifacts":
                    acts.append(Act(keeps=("artifacts", given["path"]), always=True))
                else:
                    assert kind == "checkout", kind
            own = {
                "CIRCLECI": "true", "CIRCLE_WORKFLOW_ID": "w", "CIRCLE_WORKFLOW_JOB_ID": f"{number}",
                "CIRCLE_NODE_INDEX": f"{node}", "CIRCLE_NODE_TOTAL": f"{job.get('parallelism', 1)}",
            }  # fmt: skip
            given = {name: str(value) for name, value in job["environment"].items()}
            containers = tuple(
                Container(image=each["image"], environ=each.get("environment", {}), user=each.get("user"))
                for each in job.get("docker", [])
            )
            yield Job(name=name, environ={**own, **given}, acts=acts, after_failure=after_failure,
                      containers=containers)  # fmt: skip


def azure(document: dict[str, Any]) -> Iterator[Job]:
    """`bash` steps have a shell each, without -e; macros $(...) are put in before."""
    for job in document["jobs"]:
        copies = int(job.get("strategy", {}).get("parallel", 1))
        for position in range(1, copies + 1):

            def filled(text: str, position: int = position) -> str:
                known = {
                    "Pipeline.Workspace": "$PIPELINE_WORKSPACE",
                    "System.JobPositionInPhase": f"{position}",
                }
                return re.sub(r"\$\(([A-Z][A-Za-z.]+)\)", lambda found: known[found[1]], text)

            acts = []
            for step in job["steps"]:
                always = step.get("condition") == "always()"
                if "bash" in step:
                    shell = ("bash", "--noprofile", "--norc")
                    acts.append(Act(script=filled(step["bash"]), shell=shell, always=always))
                elif "publish" in step:
                    acts.append(Act(keeps=(filled(step["artifact"]), step["publish"]), always=always))
                elif "download" in step:
                    wanted = step.get("artifact") or step["patterns"].removesuffix("/**")
                    acts.append(Act(takes=(wanted, "PIPELINE_WORKSPACE")))
                else:
                    assert step == {"checkout": "self"}, step
            own = {
                "TF_BUILD": "True", "BUILD_BUILDID": "8", "SYSTEM_JOBID": f"{job['job']}-{position}",
                "SYSTEM_JOBPOSITIONINPHASE": f"{position}", "SYSTEM_TOTALJOBSINPHASE": f"{copies}",
            }  # fmt: skip
            given = {**document["variables"], **job.get("variables", {})}
            yield Job(
                name=job["job"], environ={**own, **{name: str(value) for name, value in given.items()}},
                acts=acts, after_failure="not(canceled())" in job.get("condition", ""),
            )  # fmt: skip


def bitbucket(document: dict[str, Any]) -> Iterator[Job]:
    """The lines of `script` share one shell, those of `after-script` another; artifacts keep their paths."""
    number = 0
    for entry in document["pipelines"]["default"]:
        steps = entry["parallel"]["steps"] if "parallel" in entry else [entry]
        for index, step in enumerate(each["step"] for each in steps):
            number += 1
            acts = [
                Act(takes=("artifacts", ".")),
                Act(script="\n".join(step["script"])),
                Act(script="\n".join(step.get("after-script", [])), always=True),
            ]
            kept = step.get("artifacts", [])
            for upload in kept["upload"] if isinstance(kept, dict) else [{"paths": kept}]:
                always = upload.get("capture-on") == "always"
                shelf = "scoped" if upload.get("type") == "scoped" else "artifacts"
                for path in (pattern.removesuffix("/**") for pattern in upload["paths"]):
                    acts.append(Act(keeps=(f"{shelf}/{path}", path), always=always))
            own = {
                "BITBUCKET_BUILD_NUMBER": "8", "BITBUCKET_WORKSPACE": "team", "BITBUCKET_REPO_SLUG": "shop",
                "BITBUCKET_STEP_UUID": f"{{{number}}}",
            }  # fmt: skip
            if "parallel" in entry:
                own |= {
                    "BITBUCKET_PARALLEL_STEP": f"{index}",
                    "BITBUCKET_PARALLEL_STEP_COUNT": f"{len(steps)}",
                }
            image = step.get("image", document["image"])
            facts = image if isinstance(image, dict) else {"name": image}
            user = None if "run-as-user" not in facts else str(facts["run-as-user"])
            services = [document["definitions"]["services"][name] for name in step.get("services", ())
                        if name != "docker"]  # fmt: skip
            containers = [Container(image=facts["name"], user=user)]
            containers += [
                Container(image=each["image"], environ=each.get("variables", {})) for each in services
            ]
            yield Job(name=step["name"], environ=own, acts=acts, containers=tuple(containers))


def bamboo(document: dict[str, Any]) -> Iterator[Job]:
    """Scripts are files that are executed, so their first line says what reads them."""
    for stage in document["stages"]:
        for name in next(iter(stage.values()))["jobs"]:
            job = document[name]
            acts = []
            for task, always in [(task, False) for task in job["tasks"]] + [
                (task, True) for task in job.get("final-tasks", [])
            ]:
                kind, given = next(iter(task.items()))
                if kind == "script":
                    (script,) = given["scripts"]
                    first = script.splitlines()[0]
                    assert first.startswith("#!")
                    acts.append(Act(script=script, shell=tuple(first[2:].split()), always=always))
                elif kind == "artifact-download":
                    acts += [Act(takes=(each["name"], each["destination"])) for each in given["artifacts"]]
                else:
                    assert kind == "checkout", kind
            acts += [
                Act(keeps=(artifact["name"], artifact["location"]), always=True)
                for artifact in job["artifacts"]
            ]
            own = {"bamboo_buildResultKey": f"TEAM-SHOP-{job['key']}-8", "bamboo_planKey": "TEAM-SHOP",
                   "bamboo_buildNumber": "8"}  # fmt: skip
            yield Job(name=name, environ=own, acts=acts)


READERS: dict[str, Callable[[dict[str, Any]], Iterator[Job]]] = {
    "circleci": circleci,
    "azure": azure,
    "bitbucket": bitbucket,
    "bamboo": bamboo,
}


def read_jobs(platform: str, text: str) -> list[Job]:
    return list(READERS[platform](yaml.safe_load(text)))


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A job that was run: its log, and whether it failed."""

    name: str
    log: str
    failed: bool


Place = Callable[[Job, Path], AbstractContextManager[list[str]]]
"""Makes where a job runs, given its workspace; words to put in front of its commands."""


@contextmanager
def on_this_machine(job: Job, place: Path) -> Iterator[list[str]]:
    yield []


@contextmanager
def in_containers(job: Job, place: Path) -> Iterator[list[str]]:
    """The containers of a job share one localhost; its folder is in the first one."""
    engine = docker.from_env(timeout=60)
    started: list[Any] = []
    try:
        for each in job.containers:
            options: dict[str, Any] = {"environment": each.environ, "user": each.user}
            if not started:
                folder = str(place.parent)
                options |= {"command": ["sleep", "300"], "volumes": {folder: {"bind": folder, "mode": "rw"}}}
                options |= {"init": True}
            else:
                options |= {"network_mode": f"container:{started[0].id}"}
            started.append(engine.containers.run(each.image, detach=True, **options))
        given = [word for name, value in job.environ.items() for word in ("--env", f"{name}={value}")]
        yield ["docker", "exec", "--workdir", str(place), *given, started[0].id]
    finally:
        for container in reversed(started):
            container.remove(v=True, force=True)
        engine.close()


def run_jobs(
    jobs: list[Job],
    repository: Path,
    folder: Path,
    environ: dict[str, str],
    somewhere: Place = on_this_machine,
) -> list[Ended]:
    """Run the jobs one after the other, each in a fresh copy of the repository, what they keep going below
    `folder`/shelf. After one that failed only those run that want to."""
    ended: list[Ended] = []
    for number, job in enumerate(jobs):
        if any(each.failed for each in ended) and not job.after_failure:
            continue
        place = folder / f"job{number}"
        shutil.copytree(repository, place, symlinks=True)
        with somewhere(job, place) as words:
            ended.append(_run(job, place, folder, environ, words))
    return ended


def _run(job: Job, place: Path, folder: Path, environ: dict[str, str], words: list[str]) -> Ended:
    shelf, own = folder / "shelf", folder / f"{place.name}-downloads"
    own.mkdir()
    given = {**environ, "PIPELINE_WORKSPACE": str(own), **job.environ}
    log, failed = "", False
    for act in job.acts:
        if failed and not act.always:
            continue
        if act.keeps is not None:
            name, path = act.keeps
            if (place / path).exists():
                shutil.copytree(place / path, shelf / name, dirs_exist_ok=True)
        elif act.takes is not None:
            name, path = act.takes
            for source in shelf.glob(name):
                target = own / source.name if path == "PIPELINE_WORKSPACE" else place / path
                shutil.copytree(source, target, dirs_exist_ok=True)
        elif act.script:
            script = folder / "script"
            script.write_text(act.script + "\n")
            done = subprocess.run(
                [*words, *act.shell, str(script)], cwd=place, env=given, stdin=subprocess.DEVNULL, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=170, check=False,
            )  # fmt: skip
            log += done.stdout
            failed = failed or done.returncode != 0
    return Ended(name=job.name, log=log, failed=failed)
