"""JavaScript without what is not code: comments, strings, template text, regular expressions.

A small reading of ECMA-262's lexical grammar (clause 12), enough to tell whether a word in a script is a
token of it or only data.
"""

import re

_SKIP = re.compile(
    r"""
      (?P<space> \s+ )
    | (?P<comment> //[^\n\r\u2028\u2029]* | <!--[^\n\r\u2028\u2029]* | /\*.*?(?:\*/|\Z) )
    | (?P<string> "(?:[^"\\\n\r]|\\.)*(?:"|(?=[\n\r])|\Z) | '(?:[^'\\\n\r]|\\.)*(?:'|(?=[\n\r])|\Z) )
    | (?P<word> [\w$\u0080-\U0010ffff]+ )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_TEMPLATE_TEXT = re.compile(r"(?:[^`\\$]|\\.|\$(?!\{))*", re.DOTALL)
_REGEX = re.compile(r"/(?:[^/\\\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*\])+/[a-z]*")
# After these words a slash begins a regular expression; after any other word or ) ] } it divides.
_BEFORE_REGEX = frozenset(
    {"return", "typeof", "instanceof", "in", "of", "new", "delete", "void", "throw", "case", "do", "else"}
    | {"await", "yield"}
)


def code_of(script: str) -> str:
    """The code of a script: strings become `""`, of templates only the code of their substitutions stays."""
    out: list[str] = []
    closers: list[str] = []  # "}" for a brace of the code, "`" for one that ends a substitution
    last = ""
    at = 0
    while at < len(script):
        match = _SKIP.match(script, at)
        if match is None:
            break
        kind, text = match.lastgroup, match[0]
        at = match.end()
        if kind in ("space", "comment"):
            out.append("\n" if "\n" in text else " ")
            continue
        if kind == "string":
            out.append('""')
        elif kind == "word":
            out.append(text)
        elif text == "/" and _expects_value(last) and (regex := _REGEX.match(script, at - 1)):
            out.append("/./")
            at = regex.end()
            text = ")"
        elif text == "`":
            at = _template(script, at, out, closers)
            text = ")"
        elif text == "}" and closers and closers.pop() == "`":
            out.append("}")
            at = _template(script, at, out, closers)
            text = ")"
        else:
            if text == "{":
                closers.append("}")
            out.append(text)
        last = text
    return "".join(out)


def _template(script: str, at: int, out: list[str], closers: list[str]) -> int:
    """Skip template text from `at` to its end or to the code of a substitution; gives where to go on."""
    match = _TEMPLATE_TEXT.match(script, at)
    end = match.end() if match else at
    if script.startswith("${", end):
        closers.append("`")
        out.append("${")
        return end + 2
    out.append("``")
    return end + 1


def _expects_value(last: str) -> bool:
    if not last:
        return True
    return last in _BEFORE_REGEX or not (last[-1].isalnum() or last[-1] in "_$)]}\"'`")
