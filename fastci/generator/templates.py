"""Rendering: the Jinja templates and how values are quoted in the languages they are put into.

Templates use delimiters that no CI language knows (`@{ }@`, `@% %@`, `@# #@`), so `${{ }}`, `$[[ ]]` and
`<< >>` pass through untouched.
"""

import json
import re
import shlex
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from fastci.errors import TechnicalError

_HELD = "\0"
"""Stands for a line break inside a literal of Groovy until the text around it is in its place: indenting the
text must not change the script in it."""


def templates_folder() -> Path:
    """The folder of the templates: beside the package in a checkout, inside it when it was installed."""
    package = Path(__file__).parents[1]
    for folder in (package / "templates", package.parent / "templates"):
        if (folder / "github").is_dir():
            return folder
    raise TechnicalError("the templates of the job definitions are missing", hint="install fast-action again")


@cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        variable_start_string="@{", variable_end_string="}@",
        block_start_string="@%", block_end_string="%@",
        comment_start_string="@#", comment_end_string="#@",
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    environment.filters.update(
        yaml=quote_yaml,
        block=block_yaml,
        sh=shlex.quote,
        groovy=lambda value: quote_groovy(value).replace("\n", _HELD),
        command=as_command,
    )
    return environment


def render(template: str, **context: Any) -> str:
    """A template of the folder with these values; without runs of blank lines."""
    text = _environment(templates_folder()).get_template(template).render(**context)
    lines = "\n".join(line.rstrip() for line in text.split("\n")).strip("\n")
    return re.sub(r"\n{3,}", "\n\n", lines).replace(_HELD, "\n") + "\n"


def quote_yaml(value: object) -> str:
    """A scalar of YAML on one line that reads back as this very text."""
    text = str(value)
    return text if _is_plain(text) else json.dumps(text, ensure_ascii=False)


def block_yaml(script: str, indent: int) -> str:
    """A script as a scalar of YAML: on one line where it is plain, else as a literal block."""
    if _is_plain(script):
        return script
    return "|\n" + textwrap.indent(script, " " * indent)


def _is_plain(text: str) -> bool:
    # Narrower than YAML: what no reader of any version takes for a number, a switch, a comment or a mapping.
    word = r"(?:[A-Za-z0-9_./@$%+=~-]|:(?=[^\s:]))+"
    return bool(re.fullmatch(rf"(?=[A-Za-z/]|\.[A-Za-z/]){word}(?: {word})*", text)) and text.lower() not in (
        "true", "false", "yes", "no", "on", "off", "null", "y", "n", ".inf", ".nan",
    )  # fmt: skip


def quote_groovy(value: object) -> str:
    """A string literal of Groovy in which nothing is interpolated; several lines get the triple quotes."""
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'''\\\n{text}\n'''" if "\n" in text else f"'{text}'"


def as_command(script: str) -> str:
    """The words of a script for a place where no shell reads it, itself quoted for a shell.

    A plain command stays as it is; what needs a shell becomes `sh -ec '...'`.
    """
    words = script.split(" ")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./ -]+", script) and "=" not in words[0]:
        return script
    return f"sh -ec {shlex.quote(script)}"
