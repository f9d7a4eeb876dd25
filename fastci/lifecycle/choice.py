"""Which runtime carries the nodes of this job, and why."""

from collections.abc import Callable, Mapping

from fastci.config import Settings
from fastci.errors import ConfigurationError, FatalError, Interrupted
from fastci.lifecycle.interrupts import Waiter
from fastci.lifecycle.process import ProcessRuntime
from fastci.lifecycle.runtime import Runtime
from fastci.lifecycle.workspace import Workspace

Say = Callable[[str], None]


def choose_runtime(
    settings: Settings, environ: Mapping[str, str], workspace: Workspace, waiter: Waiter, say: Say
) -> Runtime:
    """The runtime to start nodes with, ready to start them; says which was taken and why.

    `auto` takes the engine if it answers, unless our own image can be neither found nor built there. Raises
    FatalError when what was asked for cannot be had.
    """
    if settings.fast_runtime == "process" and settings.fast_image:
        raise ConfigurationError(
            [f"FAST_IMAGE={settings.fast_image} needs a Docker Engine: FAST_RUNTIME=process runs no image"]
        )
    embedded = ProcessRuntime(workspace.nodes, environ, waiter)
    if settings.fast_runtime == "process":
        say(f"runtime: process ({embedded.prepare()}), as told")
        return embedded
    # Imported where it is needed: it is a third of the time that a command takes to start.
    from fastci.lifecycle.container import ContainerRuntime

    runtime: Runtime | None = None
    try:
        runtime = ContainerRuntime.connect(settings, environ, waiter, say)
        taken = runtime.prepare()
    except Interrupted:
        raise
    except FatalError as error:
        if runtime is not None:
            runtime.close()
        if settings.fast_runtime == "docker" or settings.fast_image or settings.fast_network:
            raise
        why = f": {error.why.splitlines()[0]}" if error.why else ""
        say(f"runtime: process ({embedded.prepare()}), because {error.what}{why}")
        return embedded
    told = "as told" if settings.fast_runtime == "docker" else "because a Docker Engine answers"
    say(f"runtime: docker ({taken}), {told}")
    return runtime


def all_runtimes(
    settings: Settings, environ: Mapping[str, str], workspace: Workspace, waiter: Waiter, say: Say
) -> list[Runtime]:
    """Every runtime that may carry nodes of this job: where to look for what is to be stopped or removed.

    Raises TechnicalError when the engine was asked for and does not answer.
    """
    found: list[Runtime] = []
    if settings.fast_runtime != "docker":
        found.append(ProcessRuntime(workspace.nodes, environ, waiter))
    if settings.fast_runtime != "process":
        from fastci.lifecycle.container import ContainerRuntime

        try:
            found.append(ContainerRuntime.connect(settings, environ, waiter, say))
        except FatalError:
            if settings.fast_runtime == "docker":
                raise
    return found
