"""Custom extensions out of a git repository (GIT_EXTENSIONS); the client needs no git program."""

import tempfile
from pathlib import Path

from fastci.errors import TechnicalError
from fastci.node.dsl.extension import Extension
from fastci.node.dsl.loader import load_extensions


def clone_extensions(url: str) -> tuple[list[Extension], list[str]]:
    """The extensions at the root of the repository's default branch, and the faults of the broken ones.

    Raises TechnicalError when it cannot be had: a run without the checks that were asked for would pass.
    """
    from dulwich import porcelain  # takes as long to import as the rest of the node

    with tempfile.TemporaryDirectory(prefix="fast-extensions-") as folder:
        target = Path(folder) / "repository"
        try:
            porcelain.clone(url, str(target), depth=1, errstream=porcelain.NoneStream()).close()
        except Exception as error:  # dulwich, urllib3 and the system: their errors have no common root
            raise TechnicalError(
                "the repository of GIT_EXTENSIONS cannot be cloned",
                why=f"{type(error).__name__}: {error}",
                hint="check the address, and that the node's network reaches it",
            ) from error
        return load_extensions(target, builtin=False)
