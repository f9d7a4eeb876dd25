"""What a node says and heeds whatever its mode: its first lines, default names, signals."""

import asyncio
import signal
import time
from collections.abc import Callable

from fastci import __version__
from fastci.config import Settings

Say = Callable[[str], None]
"""Takes one console line."""


def greet(settings: Settings, say: Say) -> None:
    """The first lines of every mode."""
    say(f"fast-action node {__version__}, CI_MODE={settings.ci_mode}")
    if settings.wallarm_api_token:
        say("[info] the WALLARM_API_ settings are ignored: this node needs no cloud and no account")


def default_name(kind: str, moment: float) -> str:
    """The name FAST gives where none is chosen: `TestRecord Oct 08 12:18 UTC`."""
    return f"{kind} {time.strftime('%b %d %H:%M UTC', time.gmtime(moment))}"


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; they no longer end the process by themselves."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
