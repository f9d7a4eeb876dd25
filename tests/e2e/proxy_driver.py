"""A recording proxy as a process of its own: python proxy_driver.py STORE [VARIABLE=VALUE...] [LIMIT=BYTES]

Prints its port once it listens. Ends with status 1 and the reason when the record cannot be written; LIMIT
is the size that no file may exceed, as on a full disk.
"""

import asyncio
import resource
import signal
import sys
from pathlib import Path

import uvloop

from fastci.config import parse_settings
from fastci.errors import FatalError
from fastci.node.proxy import Authority, serve
from fastci.node.store import Store


async def _main(folder: str, variables: dict[str, str]) -> None:
    settings = parse_settings({"FAST_LISTEN": "127.0.0.1:0", "FAST_STORE": folder, **variables})
    recorder = Store(Path(folder)).create("driven")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(
        settings,
        recorder,
        authority=Authority.create(),
        stop=stop,
        say=lambda line: print(line, flush=True),
        on_ready=lambda host, port: print(port, flush=True),
    )
    recorder.close()


if __name__ == "__main__":
    given = dict(word.split("=", 1) for word in sys.argv[2:])
    limit = int(given.pop("LIMIT", 0))
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        uvloop.run(_main(sys.argv[1], given))
    except FatalError as error:
        print("\n".join(error.lines()), flush=True)
        sys.exit(1)
