import pytest

from fastci.node.dsl.script import code_of


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("a = 'b';", 'a = "";'),
        ('a = "b\\"c" + d', 'a = "" + d'),
        ("a // b\nc", "a  \nc".replace("  \n", "  \n")),
        ("a /* b */ c", "a   c"),
        ("`a ${b} c ${`d ${e}`} f`", "${b}${${e}}"),
        ("x = /a'b/i; y", "x = /./; y"),
        ("x = a / b / c", "x = a / b / c"),
        ("return /'/.test(a)", "return /./.test(a)"),
        ("f(a)/b/c", "f(a)/b/c"),
        ("'broken\nnext", '""\nnext'),
        ("a = {b: `${c}`}; d", "a = {b: ${c}}; d"),
        ("/* never ends", " "),
        ("`never ends", ""),
        ("[/[/'\"]/, b]", "[/./, b]"),
    ],
)
def test_code_is_what_is_left_without_text(script: str, code: str):
    assert code_of(script).replace("``", "").split() == code.split()
