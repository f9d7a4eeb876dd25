"""No CI at all: a developer's machine, or a CI that is not known. Messages are plain lines."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastci.platforms.platform import Context, Level

Print = Callable[[str], None]


class Local:
    """Prints; has no summary and no outputs."""

    name = "local"
    annotates = False

    def __init__(self, environ: Mapping[str, str], write: Print) -> None:
        self._environ = environ
        self._write = write

    @staticmethod
    def detect(environ: Mapping[str, str]) -> bool:
        """Always: this platform is asked last."""
        return True

    def context(self) -> Context:
        return Context(build_id=self._environ.get("BUILD_ID", ""))

    def mask(self, value: str) -> None:
        pass

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        self._write(title)
        yield

    def annotate(self, level: Level, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        head = f"{title}: " if title else ""
        self._write(f"{place}{level}: {head}{message}")

    def summary(self, markdown: str) -> None:
        pass

    def outputs(self, values: Mapping[str, str]) -> None:
        pass

    def publish(self, *, name: str, comment: str = "", sarif: Path | None = None) -> None:
        """Says so: there is nothing to publish to."""
        if comment or sarif:
            self.annotate("warning", f"a comment or code scanning is not to be had on {self.name}")
