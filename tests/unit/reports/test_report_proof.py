from dataclasses import replace

import pytest

from fastci.reports.exchange import read_message
from fastci.reports.proof import proof_of
from fastci.results import Evidence, Exchange

HEAD = b"HTTP/1.1 200 OK\r\nLocation: https://k7.fast.test/x\r\n\r\n"


def exchange(body: bytes) -> Exchange:
    return Exchange(request=b"", response=HEAD + body, status=200, elapsed=0.1)


def evidence(matched: str, body: bytes, *, payload: str = "'\"", control: bytes = b"shop") -> Evidence:
    usual = replace(exchange(control), response=b"HTTP/1.1 200 OK\r\n\r\n" + control)
    return Evidence(payload=payload, matched=matched, attack=exchange(body), control=usual)


def proof(found: Evidence) -> str:
    control = read_message(found.control.response) if found.control else None
    return proof_of(found, read_message(found.attack.response), control)


@pytest.mark.parametrize(
    ("matched", "body", "expected"),
    [
        ("30431", b"label 30431", "30431"),
        ("the body holds 'You have an error': <br /> <b>Fatal</b>: You have an error; check…",
         b"<br />\n<b>Fatal</b>:  You have\n an error; check the", "You have\n an error"),
        ("the header Location holds 'https://k7.fast.test', the marker k7: Location: https://k7…", b"",
         "https://k7.fast.test"),
        ("the body holds \"it's wrong\": …", b"so it's wrong", "it's wrong"),
        ("the result 900417 stands in the body: …sum 900417 there…", b"<p>sum 900417 there</p>", "900417"),
        ("the marker 'k: 7' is there: …say 'other'", b"other k: 7", "k: 7"),
        ("marker k7aa9 seen: …<a href='x k7aa9 y'>…", b"<a href='x k7aa9 y'>", "k7aa9"),
        ("something odd: …one  two three…", b"then one\ntwo  three.", "one\ntwo  three"),
        ("the answer is as late as the payload says: 2 s", b"shop", ""),
        ("", b"shop", ""),
        ("the body holds 'unclosed: …", b"shop", ""),
    ],
)  # fmt: skip
def test_proof_is_the_bytes_that_a_detect_spoke_of(matched: str, body: bytes, expected: str):
    assert proof(evidence(matched, body)) == expected


def test_proof_of_a_reflection_is_the_payload_rather_than_its_marker():
    found = evidence(
        "the marker b9jzw5ge is the name of an attribute: …", b'<i a="" b9jzw5ge=1 >', payload='" b9jzw5ge=1 '
    )
    assert proof(found) == '" b9jzw5ge=1 '


def test_proof_never_stands_in_the_control():
    assert proof(evidence("the body holds 'error'", b"an error 4711", control=b"no error")) == ""


def test_proof_without_a_control_is_taken_from_the_answer():
    assert proof(replace(evidence("the body holds 'error'", b"an error"), control=None)) == "error"
