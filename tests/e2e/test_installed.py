"""The package as pip installs it in every job that is not on GitHub."""

import os
import shutil
import subprocess
import sys

from fastci.lifecycle.image import PACKAGE, build_context


def test_package_that_pip_installed_makes_the_same_image_and_the_same_definitions(tmp_path):
    root, installed = PACKAGE.parent, tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(installed)]
    copied = tmp_path / "copied"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "tests", "*.egg-info", "__pycache__")
    shutil.copytree(root, copied, symlinks=True, ignore=ignored)
    subprocess.run([*command, str(copied)], check=True, timeout=150)
    assert build_context(installed / "fastci") == build_context(PACKAGE)
    words = [sys.executable, "-P", "-m", "fastci", "generate", "github", "--tests", "true"]
    environ = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        words, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert "uses: org/fast-action@v1" in done.stdout
