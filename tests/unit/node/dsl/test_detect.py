"""The phase detect, each sentence of spec/extensions.md with a case."""

import gzip
import time
import zlib

import pytest
from dsl_kit import answer, attack_of, detects, html

from fastci.node.dsl import ExtensionFault


@pytest.mark.parametrize(
    ("section", "body", "headers", "found"),
    [
        ("- response", "a STR b", (), True),
        ("- response", "nothing", (), False),
        ("- response", "", (("X-Seen", "STR"),), True),
        ("  response:", "a STR b", (), True),
        ("- response: [headers]", "a STR b", (), False),
        ("- response: [headers]", "", (("X-STR", "1"),), True),
        ("- response: [body]", "a STR b", (), True),
        ("- response: [body]", "", (("X-Seen", "STR"),), False),
        ("- response: [headers: 'X-\\w+: \\d+']", "", (("X-Count", "17"),), True),
        ("- response: [headers: 'X-\\w+: \\d+$']", "", (("X-Count", "no"),), False),
        ("- response: [headers: [x-count: '^1']]", "", (("X-Count", "17"),), True),
        ("- response: [headers: [x-count: '^7']]", "", (("X-Count", "17"),), False),
        ("- response: [headers: [Location: a]]", "", (("Content-Location", "a"),), False),
        ("- response: [headers: [X-: ['2', '1']]]", "", (("X-Count", "17"),), True),
        ("- response: [headers: [{a: '1'}, {b: '2'}]]", "", (("b", "2"),), True),
        ("- response: [headers: [X-Frame-Options: null]]", "", (), True),
        ("- response: [headers: [X-Frame-Options: null]]", "", (("x-frame-options", "DENY"),), False),
        ("- response: [headers: [X-: '']]", "", (("X-A", ""), ("X-B", "")), True),
        ("- response: [headers: [X-: '']]", "", (("X-A", ""), ("X-B", "1")), False),
        ("- response: [headers: [X-: '']]", "", (), False),
        ("- response: [headers: [Location: '//STR_MARKER']]", "", (("Location", "//STR/"),), True),
        ("- response: [body: 'user.*STR_MARKER']", "user x STR", (), True),
        ("- response: [body: 'user.*STR_MARKER']", "user x\nSTR", (), False),
        ("- response: [{body: nothing}, {body: 'b[ao]th'}]", "both", (), True),
        ("- response: [body: ['nothing', 'both']]", "both", (), True),
        ("- response: [body: '^line two$']", "line one\nline two\nline three", (), True),
    ],
)
def test_response_condition(section: str, body: str, headers: tuple[tuple[str, str], ...], found: bool):
    assert (detects(section, body, *headers) is not None) is found


@pytest.mark.parametrize(
    ("wanted", "status", "found"),
    [
        ("500", 500, True),
        ("'5\\d\\d'", 503, True),
        ("'5\\d\\d'", 404, False),
        ("[500, '4\\d\\d']", 404, True),
        ("50", 500, False),
    ],
)
def test_status_condition(wanted: str, status: int, found: bool):
    extension, attack = attack_of(f"- response: [status: {wanted}]")
    assert (extension.detect(attack, html("", status=status)) is not None) is found


def test_answer_that_did_not_come_shows_nothing():
    extension, attack = attack_of("- response: [headers: [X-A: null]]")
    assert extension.detect(attack, answer("", status=0)) is None


def test_strict_status_and_strict_type_say_which_answers_count():
    section = "- response: [strict_status: '2\\d\\d', body: STR_MARKER]"
    extension, attack = attack_of(section)
    assert extension.detect(attack, html(attack.markers.text)) is not None
    assert extension.detect(attack, html(attack.markers.text, status=404)) is None
    extension, attack = attack_of("- response: [{strict_type: html}, {body: STR_MARKER}]")
    text = attack.markers.text
    json = ("Content-Type", "application/json")
    download = ("Content-Disposition", "attachment; filename=a.html")
    assert extension.detect(attack, html(text)) is not None
    assert extension.detect(attack, answer(text, json)) is None
    assert extension.detect(attack, html(text, download)) is None
    assert extension.detect(attack, answer(f"seen {text}")) is None
    assert extension.detect(attack, answer(f"<!DOCTYPE html>{text}")) is not None
    assert (
        extension.detect(attack, answer(f"<!DOCTYPE html>{text}", ("X-Content-Type-Options", "nosniff")))
        is None
    )


def test_result_of_the_expression_is_found_and_the_expression_is_not():
    extension, attack = attack_of("- response: [body: CALC_MARKER]", "${CALC_MARKER}")
    markers = attack.markers
    assert extension.detect(attack, html(f"<p>{markers.expression}</p>")) is None
    match = extension.detect(attack, html(f"<p>{markers.result}</p>"))
    assert match is not None
    assert match.what == f"the body holds {markers.result}, the result of {markers.expression}"
    assert extension.detect(attack, html(f"<p>{int(markers.result):,}</p>")) is not None


def test_any_marker_is_only_looked_for_when_the_payload_has_it():
    extension, attack = attack_of("- response", "x=STR_MARKER'")
    assert extension.detect(attack, html(attack.markers.result)) is None
    assert extension.detect(attack, html(attack.markers.text)) is not None


@pytest.mark.parametrize(
    ("encoding", "coded"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("gzip, deflate", lambda data: zlib.compress(gzip.compress(data))),
        ("identity", bytes),
    ],
)
def test_coded_body_is_read(encoding, coded):
    extension, attack = attack_of("- response: [body: STR_MARKER]")
    body = coded(f"<p>{attack.markers.text}</p>".encode())
    assert extension.detect(attack, answer(body, ("Content-Encoding", encoding))) is not None


def test_body_that_lies_about_its_coding_is_read_as_it_is():
    extension, attack = attack_of("- response: [body: STR_MARKER]")
    body = attack.markers.text.encode()
    assert extension.detect(attack, answer(body, ("Content-Encoding", "gzip"))) is not None


def test_gzip_bomb_is_cut_off():
    extension, attack = attack_of("- response: [body: never]")
    bomb = gzip.compress(b"0" * (200 << 20), 1)
    begin = time.process_time()
    assert extension.detect(attack, answer(bomb, ("Content-Encoding", "gzip"))) is None
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("charset", "data"),
    [
        ("iso-8859-1", "Größe".encode("latin-1")),
        ("utf-8", "Größe".encode()),
        ("no-such-charset", "Größe".encode()),
        ("windows-1252", "Größe".encode("cp1252")),
        ("", "\ufeffGröße".encode("utf-16")),
    ],
)
def test_body_in_another_charset_is_read(charset: str, data: bytes):
    extension, attack = attack_of("- response: [body: Größe]")
    assert (
        extension.detect(attack, answer(data, ("Content-Type", f"text/plain; charset={charset}"))) is not None
    )


def test_charset_named_in_the_page_is_used():
    extension, attack = attack_of("- response: [body: Größe]")
    page = b'<meta charset="iso-8859-1"><p>' + "Größe".encode("latin-1")
    assert extension.detect(attack, answer(page, ("Content-Type", "text/html"))) is not None


@pytest.mark.parametrize(
    ("way", "body"),
    [
        ("html", "near &quot;x&quot;: syntax error"),
        ("json", '{"e": "near \\"x\\": syntax error"}'),
        ("json", "near \\u0022x\\u0022: syntax error"),
        ("percent", "near%20%22x%22:%20syntax%20error"),
    ],
)
def test_escaped_evidence_is_seen_only_where_the_detect_asks_for_it(way: str, body: str):
    plain, attack = attack_of("- response: [body: 'near \"x\": syntax error']")
    assert plain.detect(attack, html(body)) is None
    reading, attack = attack_of(f"- response: [{{unescape: {way}}}, {{body: 'near \"x\": syntax error'}}]")
    assert reading.detect(attack, html(body)) is not None
    assert reading.detect(attack, html('near "x": syntax error')) is not None


def test_match_says_what_and_shows_a_short_excerpt():
    match = detects(
        "- response: [body: 'You have an error']", "a" * 900 + " You have an error\n\x1b near " + "b" * 900
    )
    assert match is not None
    assert match.what == "the body holds 'You have an error'"
    assert len(match.excerpt) <= 300
    assert "You have an error" in match.excerpt
    assert match.excerpt.isprintable()


# callbacks


class Heard:
    def __init__(self, **kinds: frozenset[str]) -> None:
        self.by_domain = kinds

    def kinds(self, domain: str) -> frozenset[str]:
        return self.by_domain.get(domain, frozenset())

    def told(self, domain: str) -> str:
        return "GET / from 127.0.0.1"


@pytest.mark.parametrize(
    ("section", "kind", "found"),
    [
        ("- oob", "dns", True),
        ("- oob", "http", True),
        ("- oob", "ldap", True),
        ("- oob: [http]", "http", True),
        ("- oob: [http]", "dns", False),
        ("- oob: [dns]", "dns", True),
        ("- oob: [dns]", "http", False),
        ("- delayed_oob: [dns]", "dns", True),
    ],
)
def test_callback_of_the_attacks_domain_is_proof(section: str, kind: str, found: bool):
    extension, attack = attack_of(section, "//DNS_MARKER", "*.oob.example")
    heard = Heard(**{attack.markers.domain: frozenset({kind})})
    assert (extension.detect(attack, html(""), heard) is not None) is found
    assert extension.detect(attack, html(""), Heard(other=frozenset({kind}))) is None
    assert extension.detect(attack, html("")) is None


@pytest.mark.parametrize(("section", "found"), [("- oob: [dns]", True), ("- oob: [ldap]", False)])
def test_callback_of_an_address_has_no_name_to_look_up(section: str, found: bool):
    extension, attack = attack_of(section, "//DNS_MARKER", "10.0.0.1:80/*")
    match = extension.detect(attack, html(""), Heard(**{attack.markers.domain: frozenset({"http"})}))
    assert (match is not None) is found
    assert match is None or (match.called_back and "by HTTP" in match.what)


def test_callback_counts_without_an_answer_and_beside_a_response():
    extension, attack = attack_of(
        " [{oob: [dns]}, {response: [body: found]}]", "//DNS_MARKER", "*.oob.example"
    )
    heard = Heard(**{attack.markers.domain: frozenset({"dns"})})
    assert extension.detect(attack, answer("", status=0), heard) is not None
    assert extension.detect(attack, html("found")) is not None


# patterns by the hundred, and hostile ones


def test_hundreds_of_patterns_are_looked_for_in_little_time():
    patterns = "\n".join(f"  - body: 'engine {n} says (?:error|fault) \\d+'" for n in range(600))
    extension, attack = attack_of(f"- response:\n{patterns}\n  - body: 'the last [a-z]+'")
    page = html("<p>engine 7 says nothing</p>" * 10_000 + "the last word")
    begin = time.process_time()
    match = extension.detect(attack, page)
    assert match is not None
    assert "the last word" in match.what
    assert time.process_time() - begin < 1


def test_pattern_that_hangs_is_the_extensions_fault_and_is_not_tried_again():
    extension, attack = attack_of("- response:\n  - body: '^(a|a)*$'\n  - body: 'other'")
    hostile = html("a" * 60 + "!")
    with pytest.raises(
        ExtensionFault, match=r"^own\.yaml:\d+:11: the regular expression '\^\(a\|a\)\*\$' took longer"
    ):
        extension.detect(attack, hostile)
    begin = time.process_time()
    with pytest.raises(ExtensionFault):
        extension.detect(attack, hostile)
    assert time.process_time() - begin < 0.2
    assert extension.detect(attack, html("a" * 60 + "! other")) is not None
