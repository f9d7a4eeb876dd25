"""Makes the environment that the action runs in: python -I install.py FOLDER LIST. Needs nothing but Python.

LIST is what is installed, by versions and hashes that scripts/lock wrote; nothing else is.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

INSTALLER = Path(__file__).parents[1] / "locked" / "uv.txt"
QUIET = ("--quiet", "--disable-pip-version-check", "--no-compile")
LOCKED = ("--no-deps", "--require-hashes", "--requirement")


def install(folder: Path, wanted: str) -> None:
    """Raises CalledProcessError when something in the list cannot be had, or is not what was locked."""
    inside = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    # The pip that is there, where there is one: to make another takes longer than all the rest.
    shared = find_spec("pip") is not None
    venv.create(folder, with_pip=not shared, symlinks=os.name != "nt")
    pip = [sys.executable if shared else str(inside), "-I", "-m", "pip"]
    try:
        # uv, itself downloaded, takes less than half of pip's time.
        uv = get_uv(pip, folder / "uv")
        start([uv, "pip", "install", "--quiet", "--no-cache", "--python", str(inside), *LOCKED, wanted])
    except (OSError, subprocess.CalledProcessError):
        start([*pip, "--python", str(inside), "install", *QUIET, *LOCKED, wanted])
    finally:
        shutil.rmtree(folder / "uv", ignore_errors=True)


def get_uv(pip: Sequence[str], folder: Path) -> str:
    """The program. Raises OSError where pip is told of an index of its own, which uv would not know of."""
    if re.search(r"\.(index-url|no-index)='[^']", start([*pip, "config", "list"])):
        raise FileNotFoundError
    start([*pip, "install", *QUIET, "--target", str(folder), *LOCKED, str(INSTALLER)])
    return str(folder / "bin" / "uv")


def start(command: Sequence[str]) -> str:
    """What it prints. pip starts Python again, without -I, so what the job sets for its own is taken out."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]), sys.argv[2])
    except subprocess.CalledProcessError as error:
        sys.exit(error.stdout + error.stderr)
