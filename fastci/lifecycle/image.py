"""The build context of the node's own image: which files it is made of, and the tag that names it.

The context is made the same way everywhere (sorted, no owners, no times), so that its hash names the image:
a changed source makes another tag, an unchanged one finds the image that is there.
"""

import hashlib
import io
import tarfile
from pathlib import Path

import fastci

REPOSITORY = "fast-action/node"
NODE_LABEL = "org.fast-action.node"
"""Image label that says: this is our node, not just any image of the contract."""
_PARTS = ("Dockerfile", "pyproject.toml", "fastci")


def source_root() -> Path | None:
    """The checkout this package runs from; None where it was installed without its Dockerfile."""
    root = Path(fastci.__file__).resolve().parent.parent
    return root if all((root / part).exists() for part in _PARTS) else None


def build_context(root: Path) -> bytes:
    """The build context as a tar archive, the same bytes for the same sources."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in _files(root):
            content = path.read_bytes()
            entry = tarfile.TarInfo(str(path.relative_to(root)))
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def image_tag(context: bytes, base_image: str) -> str:
    """Name and tag of the image that this context makes on this base."""
    digest = hashlib.sha256(context + b"\0" + base_image.encode()).hexdigest()
    return f"{REPOSITORY}:{fastci.__version__}-{digest[:16]}"


def _files(root: Path) -> list[Path]:
    found = []
    for part in _PARTS:
        path = root / part
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [file for file in inside if file.is_file() and not _is_left_out(file.relative_to(root))]
    return sorted(found)


def _is_left_out(path: Path) -> bool:
    return path.suffix == ".pyc" or "__pycache__" in path.parts
