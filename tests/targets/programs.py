"""Applications that paste values into a shell's command or into code they evaluate, and their repaired twins.

The shell, PHP and Node are the real ones. Waiting and looking up names is only noted.
"""

import ast
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape
from pathlib import Path

from fastci.node.message import Request, Response
from targets.kit import Handler, Pair, clock, get, inputs, looked_up, page

_NOTED = """
sleep() { echo "slept $1" >&2; }
note() { for word; do :; done; echo "asked $word" >&2; false; }
nslookup() { note "$@"; }; getent() { note "$@"; }; curl() { note "$@"; }; wget() { note "$@"; }
bash() { note "$@"; }
"""


def available(program: str) -> bool:
    """Whether a program, or a file, is there."""
    return shutil.which(program) is not None or Path(program).exists()


def run(command: list[str], code: str = "") -> str:
    data = code.encode("utf-8", "surrogateescape")
    done = subprocess.run(command, input=data, capture_output=True, timeout=20, check=False)
    stderr = done.stderr.decode("utf-8", "replace")
    for seconds in re.findall(r"^slept (\d+)$", stderr, re.M):
        clock.wait(seconds)
    looked_up.update(re.findall(r"^asked (.+)$", stderr, re.M))
    return done.stdout.decode("utf-8", "replace")


def _shell(command: str) -> Handler:
    def handler(request: Request) -> Response:
        host = inputs(request)["host"].replace("\0", "")
        return page(f"<pre>{escape(run(['sh', '-c', _NOTED + command.replace('HOST', host)]))}</pre>")

    return handler


def listed(request: Request) -> Response:
    """The same program with the value as one argument, and no shell."""
    command = ["printf", "%s\n", "route to " + inputs(request)["host"].replace("\0", "")]
    return page(f"<pre>{escape(run(command))}</pre>")


def _sorted(*before: str) -> Handler:
    """Gives the value to a program as an argument, without any shell."""

    def handler(request: Request) -> Response:
        value = inputs(request)["host"].replace("\0", "")
        try:
            done = subprocess.run(["sort", *before, value], capture_output=True, timeout=20, check=False)
        except ValueError:
            return page("<p>That is no name.</p>", 400)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        return page(f"<pre>{escape(said)}</pre>")

    return handler


def explaining(request: Request) -> Response:
    """Explains itself to everybody, and shows the value."""
    usage = "usage: route [-v] HOST"
    return page(f"<pre>{usage}</pre><p>{escape(inputs(request)['host'])}</p>")


def previewing(request: Request) -> Response:
    """Fetches whatever address it finds in a text, and runs nothing."""
    host = inputs(request)["host"]
    for address in re.findall(r"https?://[^\s'\"|;&#)>]+", host):
        looked_up.add(address)
    return page(f"<p>{escape(host)}</p>")


def logging(request: Request) -> Response:
    """Writes the value to a log that reads the lookups in it, as Log4j 2 did."""
    text = inputs(request)["host"]
    nested = re.compile(r"\$\{(?:lower:|upper:|[^${}]*:-)([^${}]*)\}")
    while nested.search(text):
        text = nested.sub(r"\1", text)
    looked_up.update(re.findall(r"\$\{jndi:ldap://([^}]+)\}", text))
    return page("<p>Noted.</p>")


def filtered(request: Request) -> Response:
    host = inputs(request)["host"]
    if not re.fullmatch(r"[\w.-]+", host):
        return page("<p>That is no host name.</p>", 400)
    return page(f"<pre>{escape(run(['sh', '-c', f'{_NOTED}echo route to {host}']))}</pre>")


def without_semicolons(request: Request) -> Response:
    """Takes out what it knows, and leaves the pipe."""
    host = inputs(request)["host"].replace(";", "").replace("&", "").replace("\n", "")
    return page(f"<pre>{escape(run(['sh', '-c', f'{_NOTED}echo route to {host}']))}</pre>")


def _program(*command: str) -> Handler:
    """A program that reads the value from its input and prints the page's text."""

    def handler(request: Request) -> Response:
        return page(f"<p>{escape(run(list(command), inputs(request)['rule']))}</p>")

    return handler


def _php(code: str) -> Handler:
    return _program("php", "-d", "display_errors=0", "-r", "$v = stream_get_contents(STDIN); " + code)


def _node(code: str) -> Handler:
    read = "const v = require('fs').readFileSync(0, 'utf8'); "
    return _program("node", "-e", f"{read} try {{ console.log({code}) }} catch (e) {{ console.log('no') }}")


def _node_quietly(code: str) -> Handler:
    """Evaluates, with a clock that goes on by itself, and shows nothing."""
    fast = "let ms = 0; const Date = {now: () => (ms += 250)};"
    read = "const v = require('fs').readFileSync(0, 'utf8');"
    told = "console.error('slept ' + Math.floor(ms / 1000)); console.log('Thank you.')"
    return _program("node", "-e", f"{fast} {read} try {{ {code} }} catch (e) {{ }} {told}")


def _python_quietly(request: Request) -> Response:
    """Evaluates, with a clock that does not wait, and shows nothing."""
    from contextlib import suppress
    from types import SimpleNamespace

    names = {"__builtins__": {"__import__": lambda name: SimpleNamespace(sleep=clock.wait)}}
    with suppress(Exception):
        eval(inputs(request)["rule"], names)
    return page("<p>Thank you.</p>")


def _data(request: Request) -> Response:
    """The value as data: compared, counted and shown."""
    value = inputs(request)["rule"]
    return page(f"<p>{escape(value)}: {len(value)} characters</p>")


def _calculator(request: Request) -> Response:
    """Calculates, on purpose, and nothing else."""
    value = inputs(request)["rule"]
    match = re.fullmatch(r"\s*(\d{1,9})\s*([*+-])\s*(\d{1,9})\s*", value)
    if not match:
        return page("<p>That is no calculation.</p>", 400)
    left, right = int(match[1]), int(match[3])
    return page(f"<p>{ {'*': left * right, '+': left + right, '-': left - right}[match[2]] }</p>")


def _python(code: str) -> Handler:
    def handler(request: Request) -> Response:
        try:
            value = eval(code.replace("VALUE", inputs(request)["rule"]))
        except Exception:
            return page("<p>That rule does not work.</p>", 400)
        return page(f"<p>{escape(str(value))}</p>")

    return handler


def _python_literal(request: Request) -> Response:
    try:
        value = ast.literal_eval(inputs(request)["rule"])
    except (ValueError, SyntaxError):
        return page("<p>That rule does not work.</p>", 400)
    return page(f"<p>{escape(str(value))}</p>")


def _ruby(request: Request) -> Response:
    """`eval "'#{value}'"`: Ruby where there is one, else a reading of the little of it that matters."""
    value = inputs(request)["rule"].replace("\0", "")
    if available("ruby"):
        return page(escape(run(["ruby", "-e", "print(eval(STDIN.read))"], f"'{value}'")))
    terms = re.fullmatch(
        r"'(?:[^'\\]|\\.)*'(?:\+\((\d+)\*(\d+)\)\.to_s(?:\+'(?:[^'\\]|\\.)*'|#.*)?)", f"'{value}'", re.S
    )
    return page(str(int(terms[1]) * int(terms[2]))) if terms else page("<p>syntax error</p>", 500)


_HOST, _RULE = get("/route?host=localhost"), get("/check?rule=free")


def _command(detect: str, flaw: str, broken: Handler, repaired: Handler = listed) -> Pair:
    return Pair(
        detect=detect, flaw=flaw, request=_HOST, point="GET_host_value", broken=broken, repaired=repaired
    )


def _code(detect: str, flaw: str, broken: Handler, repaired: Handler) -> Pair:
    return Pair(
        detect=detect, flaw=flaw, request=_RULE, point="GET_rule_value", broken=broken, repaired=repaired
    )


_bare, _single, _double = (
    _shell("echo route to HOST"),
    _shell("echo 'route to HOST'"),
    _shell('echo "route to HOST"'),
)
_quiet: Callable[[str], Handler] = lambda command: _shell(f"{command} >/dev/null")  # noqa: E731

PAIRS: tuple[Pair, ...] = (
    _command("rce-calc", "bare word", _bare),
    _command("rce-calc", "single quotes", _single, filtered),
    _command("rce-calc", "double quotes", _double),
    _command("rce-calc", "separators taken out", without_semicolons, filtered),
    _command("rce-time", "bare word", _quiet("echo HOST")),
    _command("rce-time", "single quotes", _quiet("echo 'HOST'")),
    _command("rce-time", "double quotes", _quiet('echo "HOST"')),
    _command("rce-oob", "bare word", _quiet("echo HOST")),
    _command("rce-oob", "single quotes", _quiet("echo 'HOST'"), previewing),
    _command("rce-oob", "double quotes", _quiet('echo "HOST"'), filtered),
    _command("rce-oob", "separators taken out", without_semicolons, filtered),
    _command("rce-argument", "option", _sorted(), _sorted("--")),
    _command("rce-argument", "option, beside a page that explains itself", _sorted(), explaining),
    _command("rce-jndi-oob", "lookups in a log", logging, previewing),
    _code("rce-eval-time", "Python", _python_quietly, _python_literal),
    _code("rce-eval-time", "JavaScript", _node_quietly("eval(v)"), _data),
    _code("rce-eval-time", "JavaScript, between two values", _node_quietly("eval(`1 > ${v} 2`)"), _data),
    _code(
        "rce-eval-time",
        "JavaScript, the operator of a function",
        _node_quietly("new Function('a', 'b', `return a ${v} b`)(2, 3)"),
        _data,
    ),
    _code("rce-eval-time", "JavaScript, in quotes", _node_quietly("eval(`1 == '${v}'`)"), _data),
    _code("rce-python", "expression", _python("VALUE"), _python_literal),
    _code("rce-python", "inside a call", _python("len('VALUE') and 'VALUE'"), _calculator),
    _code("rce-ruby", "single quotes", _ruby, _calculator),
    _code("rce-php", "statement", _php("eval($v . ';');"), _php("echo strlen($v);")),
    _code("rce-php", "single quotes", _php("eval(\"\\$rule = '$v';\"); echo $rule;"), _data),
    _code("rce-php", "inside a call", _php("eval(\"echo strlen('$v') > 2 ? 'yes' : 'no';\");"), _data),
    _code("rce-node", "expression", _node("eval(v)"), _node("JSON.stringify(v)")),
    _code("rce-node", "inside a call", _node("eval(`encodeURI('${v}')`)"), _calculator),
    _code(
        "rce-node",
        "operator of a function",
        _node("new Function('a', 'b', `return a ${v} b`)(2, 3)"),
        _node("({'+': 2 + 3, '-': 2 - 3})[v] ?? 'no such operator'"),
    ),
    _code("rce-node", "names taken away", _node("(String => eval(v))()"), _data),
    _code("rce-node", "template", _node("eval('`' + v + '`')"), _data),
)

NEEDS = {"rce-php": "php", "xxe-error": "php", "rce-node": "node", "rce-eval-time": "node"}
"""Programs that not every machine has: their detects are only tried where they are."""
