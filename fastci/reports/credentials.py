"""Where secrets stand: found by their place in a message, or by the form that providers give their tokens.

Places: Authorization and Cookie headers, headers, query and form fields, JSON, XML, multipart parts and HTML
inputs whose name says so, the user part of a URL. Bodies may be cut or broken: nothing is parsed as a whole.
"""

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

Mark = Callable[[bytes], bytes]
"""What to put in place of a secret value."""

_SECRET_WORD = re.compile(
    r"auth|authorization|bearer|cred|credentials?|csrf|cv[cv]|jwt|mfa|nonce|otp|pass|passcode|passphrase|passwd|"
    r"password|pin|pwd|sid|secret|session|sessionid|signature|ssn|token|totp|xsrf"
)
_SECRET_END = re.compile(
    r"(accesskey|apikey|cardnumber|passphrase|passwd|password|privatekey|secret|secretkey|sessid|sessionid|"
    r"sessionkey|token)$"
)
_KEY_OF = frozenset(("access", "api", "private", "secret", "session"))
_SHORT = 100
_HARMLESS_ENDS = frozenset(("age", "count", "expires", "length", "limit", "tokens", "type"))

_WORD = re.compile(
    r"auth|authorization|bearer|cred|credentials?|csrf|cv[cv]|jwt|mfa|nonce|otp|pass|passcode|passphrase|passwd|"
    r"password|pin|pwd|sid|secret|session|sessionid|signature|ssn|token|totp|xsrf"
)
_SECRET_END = re.compile(
    r"(accesskey|apikey|cardnumber|passphrase|passwd|password|privatekey|secret|secretkey|sessid|sessionid|"
    r"sessionkey|token)$"
)
_KEY_OF = frozenset(("access", "api", "private", "secret", "session"))
_SHORT = 100
_HARMLESS_ENDS = frozenset(("age", "count", "expires", "length", "limit", "tokens", "type"))
_FEW = 40
_NOT_SECRET = frozenset((b"", b"true", b"false", b"null", b"none", b"undefined", b"0", b"1", b"yes", b"no"))

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CUES = tuple(
    b"auth basic bearer cred csrf cvc cvv jwt key mfa nonce otp pass pin pwd sess sid secret sign ssn token "
    b"xsrf".split()
)
"""Without one of these there is no secret in a text, but for those known by their form."""

# each of the next ones: `before` stays, `value` is the secret if `name` says so
_PAIR = re.compile(rb"(?<![\w%.\-])(?P<before>(?P<name>[\w%.\-\[\]~$]{1,80})=)(?P<value>[^&;\s\"'<>\\,]+)")
_ELEMENT = re.compile(
    rb"(?P<before><(?P<name>[\w:.\-]{1,60})(?:\s[^<>]{0,500})?>)(?P<value>[^<>]{1,4000})(?=</(?P=name)\s*>|\Z)"
)
_PART = re.compile(
    rb"(?P<before>;\s*name=\"(?P<name>[^\"\r\n]{1,80})\"[^\r\n]*(?:\r?\n[^\r\n]+){0,8}\r?\n\r?\n)"
    rb"(?P<value>.{0,8000}?)(?=\r?\n--|\Z)",
    re.DOTALL,
)
_NUMBER = re.compile(
    rb"(?P<before>\"(?P<name>[\w.\-]{1,60})\"\s{0,20}:\s{0,20})(?P<value>-?\d[\d.eE+\-]{2,40})"
)

# quoted values: the opening is searched, the name is what stands before it
_OPEN = re.compile(rb"([:=])\s{0,20}(\\*)([\"'])")
_NAME_BEFORE = re.compile(rb"(?:^|[^\w.\-])([A-Za-z_][\w.\-]{0,60})(\\*[\"'])?\s{0,20}\Z")
_KEY_PLACE = re.compile(rb"(?:^|[{(\[,;\n])[ \t]{0,80}[\w.\-]{1,61}[ \t]*\Z")
_TO_QUOTE = {
    b'"': re.compile(rb'(?:[^"\\]|\\.)*', re.DOTALL),
    b"'": re.compile(rb"(?:[^'\\]|\\.)*", re.DOTALL),
}

_HEADER = re.compile(rb"(?m)^([!-9;-~]{1,80}):([ \t]*)([^\r\n]*)")
_TAG = re.compile(rb"<(?:input|meta|param)\b[^<>]{0,2000}>", re.IGNORECASE)
_TAG_NAME = re.compile(rb"\b(?:name|id|property)\s*=\s*[\"']?([^\s\"'<>]{1,80})", re.IGNORECASE)
_TAG_TYPE = re.compile(rb"\btype\s*=\s*[\"']?password\b", re.IGNORECASE)
_TAG_VALUE = re.compile(
    rb"(?P<before>\b(?:value|content)\s*=\s*[\"']?)(?P<value>[^\"'<>]*?)(?=[\"'\s>/])", re.IGNORECASE
)
_USER = re.compile(rb"(?P<before>://[^/\s:@\"'<>]{0,80}:)(?P<value>[^/\s@\"'<>]{1,200})(?=@)")
_SCHEME = re.compile(rb"\b(?P<before>(?:Bearer|Basic|Token)[ \t]+)(?P<value>[\w.~+/\-]{8,}=*)")
_FORM_BEGINS = tuple(
    b"eyJ gho_ ghp_ ghr_ ghs_ ghu_ github_pat_ glpat- xox AKIA k_live_ k_test_ AIza PRIVATE".split()
)
_FORM = re.compile(
    rb"\beyJ[\w\-]{8,}\.[\w\-]{4,}\.[\w\-]*|\bgh[pousr]_\w{30,}|\bgithub_pat_\w{22,}|\bglpat-[\w\-]{20,}|"
    rb"\bxox[abeprs]-[\w\-]{10,}|\bAKIA[0-9A-Z]{16}\b|\b[sr]k_(?:live|test)_\w{16,}|\bAIza[\w\-]{35}|"
    rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.{0,8000}?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def is_secret_name(name: str) -> bool:
    """Whether a field of that name holds a secret: `accessToken`, `user[password]`, `X-Api-Key`, `sid`."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _HARMLESS_ENDS:
        return False
    return (
        any(map(_SECRET_WORD.fullmatch, words))
        or bool(_SECRET_END.search("".join(words[-3:])))
        or ("key" in words and not _KEY_OF.isdisjoint(words))
    )


def mark_message(data: bytes, mark: Mark) -> bytes:
    """A request or response with its secrets marked: header lines by their name, the rest as any text."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        head, separator, body = data.partition(b"\n\n")
    start, line_end, fields = head.partition(b"\n")
    head = mark_text(start, mark) + line_end + _HEADER.sub(lambda field: _in_field(field, mark), fields)
    return head + separator + mark_text(body, mark)


def _in_field(field: re.Match[bytes], mark: Mark) -> bytes:
    name, blank, value = field.groups()
    lower = name.lower()
    if lower in (b"authorization", b"proxy-authorization"):
        scheme, between, rest = value.partition(b" ")
        value = scheme + between + mark(rest) if between else mark(value)
        if scheme.lower() == b"basic":
            mark(_password(rest))
    elif lower == b"cookie":
        value = b";".join(_cookie(pair, mark) for pair in value.split(b";"))
    elif lower == b"set-cookie":
        pair, separator, attributes = value.partition(b";")
        value = _cookie(pair, mark) + separator + attributes
    elif is_secret_name(name.decode("ascii")) and not lower.startswith(b"access-control-"):
        value = mark(value)
    else:
        value = mark_text(value, mark)
    return name + b":" + blank + value


def _password(pair: bytes) -> bytes:
    """The password of Basic credentials (RFC 7617), so that it is known where it stands alone too."""
    try:
        return base64.b64decode(pair).partition(b":")[2]
    except ValueError:
        return b""


def _cookie(pair: bytes, mark: Mark) -> bytes:
    name, separator, value = pair.partition(b"=")
    return name + separator + mark(value)


def mark_text(data: bytes, mark: Mark) -> bytes:
    """Any text with its secrets marked: a URL, a form, JSON (also in a string or a script), XML, HTML."""
    if len(data) < _SHORT and _is_harmless(data):
        return data
    if any(begin in data for begin in _FORM_BEGINS):
        data = _FORM.sub(lambda match: mark(match[0]), data)
    if not _may_hold(data):
        return data

    def always(match: re.Match[bytes]) -> bytes:
        return match["before"] + mark(match["value"])

    def named(match: re.Match[bytes]) -> bytes:
        return always(match) if _is_secret(match["name"]) else match[0]

    def tag(match: re.Match[bytes]) -> bytes:
        secret = _TAG_TYPE.search(match[0]) or any(map(_is_secret, _TAG_NAME.findall(match[0])))
        return _TAG_VALUE.sub(always, match[0]) if secret else match[0]

    def number(match: re.Match[bytes]) -> bytes:
        marked = mark(match["value"]) if _is_secret(match["name"]) else match["value"]
        return match["before"] + (marked if marked == match["value"] else b'"' + marked + b'"')

    data = _SCHEME.sub(always, data)
    data = _USER.sub(always, data)
    data = _TAG.sub(tag, data)
    data = _PART.sub(named, data)
    data = _ELEMENT.sub(named, data)
    data = _in_quotes(data, mark)
    data = _NUMBER.sub(number, data)
    return _PAIR.sub(named, data)


@lru_cache(maxsize=8192)
def _is_harmless(data: bytes) -> bool:
    """The same few header values stand in thousands of messages: each is looked at once."""
    return not _may_hold(data) and not any(begin in data for begin in _FORM_BEGINS)


def _may_hold(data: bytes) -> bool:
    lower = data.lower()
    # A loop: this is asked of every text, and a generator would cost as much again.
    for cue in _CUES:
        if cue in lower:
            return True
    return b"@" in data and b"://" in data


def _is_secret(name: bytes) -> bool:
    return is_secret_name(unquote_to_bytes(name).decode("latin-1"))


def _in_quotes(data: bytes, mark: Mark) -> bytes:
    """Marks values in quotes behind a name: JSON, also inside a JSON string, attributes, assignments, YAML.

    A bare name and a colon count only where a key can stand: in prose (`unrecognized token: "..."`) they say
    nothing.
    """
    pieces: list[bytes] = []
    done = 0
    for opening in _OPEN.finditer(data):
        start = opening.end()
        before = data[max(done, opening.start() - 170) : opening.start()]
        name = _NAME_BEFORE.search(before)
        if opening.start() < done or not name or not _is_secret(name[1]):
            continue
        if opening[1] == b":" and not name[2] and not _KEY_PLACE.search(before):
            continue
        if opening[2]:
            end = data.find(opening[2] + opening[3], start)
        else:
            closing = _TO_QUOTE[opening[3]].match(data, start)
            end = closing.end() if closing else start
        end = len(data) if end < 0 else end
        pieces += data[done:start], mark(data[start:end])
        done = end
    return b"".join([*pieces, data[done:]])
