from pathlib import Path

import pytest
from dsl_kit import faults_of, get, load, point_of

from fastci.node.dsl import MarkerSource, load_extensions, parse_extension
from fastci.node.vulnerabilities import VULNERABILITIES

MAPPING = """
meta-info:
  type: sqli
  threat: 80
  title: Login
  description: By a comment
  tags: [OWASP]
collect:
  uniq:
    - [PATH_0_value, ACTION_NAME_value]
match:
  PATH_0_value: rest
generate:
  into: POST_JSON_DOC_HASH_email_value
  method: [replace]
  payload: ["' --", "' #"]
detect:
  response:
    body: bid
"""
LISTS = """
- meta-info:
  - type: sqli
  - threat: 80
  - title: Login
  - description: By a comment
  - tags:
    - OWASP
- collect:
  - uniq:
    - [PATH_0_value, ACTION_NAME_value]
- match:
  - PATH_0_value: 'rest'
- generate:
  - into: POST_JSON_DOC_HASH_email_value
  - method:
    - replace
  - payload:
    - "' --"
    - "' #"
- detect:
  - response:
    - body: 'bid'
"""


@pytest.mark.parametrize("text", [MAPPING, LISTS], ids=["mapping", "lists"])
def test_extension_in_either_spelling_loads_alike(text: str):
    extension = load(text, "juice-login.yaml")
    assert (extension.name, extension.type, extension.title) == ("juice-login", "sqli", "Login")
    assert (extension.threat, extension.description) == (80, "By a comment")
    assert extension.payloads == ("' --", "' #")
    assert extension.methods == ("replace",)
    assert [[p.text for p in item] for item in extension.uniq] == [["PATH_0_value", "ACTION_NAME_value"]]
    assert [c.point.text for c in extension.conditions] == ["PATH_0_value"]
    assert [p.text for p in extension.into] == ["POST_JSON_DOC_HASH_email_value"]
    assert not extension.sends


def test_extension_without_title_is_called_by_its_file():
    assert load("meta-info: {type: rce}\ndetect: [response]", "old-struts.yaml").title == "old-struts"


def test_extension_without_cwe_and_remediation_has_those_of_its_type():
    extension = load("meta-info: {type: rce}\ndetect: [response]")
    assert extension.cwe == VULNERABILITIES["rce"].cwe
    assert extension.remediation == VULNERABILITIES["rce"].remediation
    own = load("meta-info: {type: rce, cwe: [78], remediation: Use lists.}\ndetect: [response]")
    assert (own.cwe, own.remediation) == ((78,), "Use lists.")


def test_unknown_meta_fields_pass():
    load("meta-info: {type: rce, applicable_for: [fast], additional: x, tags: [a]}\ndetect: [response]")


def test_binary_payload_keeps_its_bytes():
    extension = load(
        "meta-info: {type: info}\ngenerate: {payload: [!!binary 'AP9h'], method: postfix}\ndetect: [response]"
    )
    request = get("/p?q=1")
    (attack,) = extension.attacks(request, point_of(request, "GET_q_value"), MarkerSource(1))
    assert attack.request.target == b"/p?q=1%00%FFa"


VALID = "meta-info: {type: rce}\n"
FOUND = VALID + "detect: [response]\n"
BROKEN = [
    (
        "detect: [response]\nmeta-info: {type: sqlli}",
        "2:19: there is no type 'sqlli'; did you mean sqli?; allowed: ",
    ),
    (VALID + "detect: [respons]", "2:10: detect has no 'respons'; did you mean response?; allowed: oob, "),
    (VALID + "detecd: [response]", "2:1: an extension has no 'detecd'; did you mean detect?; allowed: "),
    (VALID + "detecd: [response]", "1:1: the section detect is missing"),
    ("detect: [response]", "1:1: the section meta-info is missing"),
    (
        "meta-info: {type: rce, confidence: firmly}\ndetect: [response]",
        "1:36: confidence is not 'firmly'; did you mean firm?; allowed: confirmed, firm, tentative",
    ),
    ("meta-info: {threat: 5}\ndetect: [response]", "1:12: meta-info has no type"),
    (
        "meta-info: {type: rce, threat: 101}\ndetect: [response]",
        "1:32: threat '101' is not allowed; allowed: 1..100",
    ),
    ("meta-info: {type: rce, threat: high}\ndetect: [response]", "1:32: threat 'high' is not allowed"),
    (FOUND + "generate: {method: replace}", "3:11: generate has no payload"),
    (FOUND + "generate:\n- payload: [a]\n- method: [sufix]", "5:12: there is no method 'sufix'"),
    (VALID + "detect:\n- response:\n  - body: 'a(b'", "4:11: "),
    (VALID + "detect:\n- response:\n  - headers:\n    - 'X-[': a", "5:7: "),
    (VALID + "detect:\n- response:\n  - statuz: 500", "4:5: response has no 'statuz'; did you mean status?"),
    (
        VALID + "detect:\n- response:\n  - body:\n    - html:\n      - tagg",
        "6:9: html has no 'tagg'; did you mean tag?",
    ),
    (
        VALID + "detect:\n- response:\n  - strict_type: pdf",
        "4:18: there is no strict_type 'pdf'; allowed: html",
    ),
    (VALID + "detect:\n- oob: [smtp]", "3:9: there is no kind of callback 'smtp'; allowed: dns, http"),
    (
        VALID + "detect:\n- oracle: tme",
        "3:11: there is no oracle 'tme'; did you mean time?; allowed: access, boolean, csrf",
    ),
    (VALID + "detect:\n- oracle: boolean", "3:3: the oracle boolean needs `pairs`"),
    (VALID + "detect:\n- oracle: boolean\n  pairs: [[a]]", "4:11: a pair is a list of two payloads"),
    (
        VALID + "detect:\n- oracle: boolean\n  pairs: [[' AND 1=1', ' AND 1=10']]",
        "4:11: the payloads of a pair must be equally long and have the same signs",
    ),
    (
        VALID + "detect:\n- oracle: boolean\n  pairs: [[' AND 1=1', ' AND 1<1']]",
        "4:11: the payloads of a pair must be equally long and have the same signs",
    ),
    (
        VALID + "detect:\n- oracle: boolean\n  pairs: [[' AND 1=xCALC_MARKER', ' AND 1=xxSTR_MARKER']]",
        "4:11: the payloads of a pair must be equally long and have the same signs",
    ),
    (VALID + "detect:\n- oracle: time\n  times: 3", "4:3: the oracle time has no option 'times'"),
    (
        VALID + "detect: [{oracle: time}]\ngenerate: {payload: [x]}",
        "1:1: the oracle time needs a payload with DELAY_MARKER",
    ),
    (FOUND + "match: [{'GET_(': a}]", "3:10: "),
    (FOUND + "match: [{GET_a: '*'}]", "3:17: "),
    (FOUND + "collect: [{uniq: [testrun, [GET_a]]}]", "3:19: testrun stands alone"),
    (FOUND + "collect: [{uniq: []}]", "3:12: uniq needs points"),
    (FOUND + "send: [{url: /, body: x}]", "3:8: a request of send has no method"),
    (FOUND + "send: [{method: GTE, url: /}]", "3:17: there is no method 'GTE'; did you mean GET?"),
    (FOUND + "send: []", "3:7: send needs at least one request"),
    (FOUND + "send: [{method: GET, url: /}]\nmatch: [{GET_a: b}]", "4:1: match and send exclude each other"),
    (FOUND + "modify: [{GET_a: [x]}]", "3:18: a value of modify must be a text or a number, not a list"),
    (FOUND + "detect: [oob]", "3:1: detect is given twice"),
    (FOUND + "modify: [{GET_a: !ruby/object x}]", "3:18: the tag !ruby/object is not allowed"),
    (VALID + "detect: []", "2:9: detect needs `response`, `oob` or `oracle`"),
    ("meta-info: {type: rce\ndetect: [response]", "2:7: not YAML: "),
    ("", "1:1: the file is empty"),
    ("just text", "1:1: an extension must hold `key: value` pairs"),
]


@pytest.mark.parametrize(("text", "fault"), BROKEN, ids=[fault[:50] for _, fault in BROKEN])
def test_broken_file_is_named_with_line_column_and_reason(text: str, fault: str):
    faults = faults_of(text)
    assert any(found.startswith(f"own.yaml:{fault}") for found in faults), faults


def test_all_faults_of_a_file_are_told_at_once():
    faults = faults_of(
        "meta-info: {type: x, threat: 0}\ngenerate: {payload: [a], methd: [b]}\ndetect: [oops]"
    )
    assert [fault.split(":")[1] for fault in faults] == ["1", "1", "2", "3"]


def test_broken_file_leaves_the_others_loading(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("meta-info: {type: rce}\ndetect: [response]\n")
    (tmp_path / "b.yml").write_text("meta-info: {type: rce}\ndetect: [nothing]\n")
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "a.yml").write_text("meta-info: {type: rce}\ndetect: [response]\n")
    (tmp_path / "notes.txt").write_text("no extension")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.yaml").write_text("meta-info: {type: rce}\ndetect: [response]\n")
    extensions, faults = load_extensions(tmp_path, builtin=False)
    assert [extension.name for extension in extensions] == ["a"]
    assert not extensions[0].builtin
    assert [fault.split(": ")[0] for fault in faults] == ["a.yml:1:1", "b.yml:2:10", "c.yaml:1:1"]


def test_folder_that_is_absent_holds_no_extensions(tmp_path: Path):
    assert load_extensions(tmp_path / "none", builtin=False) == ([], [])


def test_aliases_by_the_million_are_read_in_no_time():
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 9))
    extension, faults = parse_extension(
        f"l0: &l0 [x]\n{levels}meta-info: {{type: rce}}\ndetect: [response]", "a.yaml"
    )
    assert extension is None
    assert "an extension has no 'l0'" in faults[0]


def test_payloads_by_the_thousand_load_and_are_made_one_by_one():
    lines = "\n".join(f"  - 'p{n}STR_MARKER'" for n in range(5000))
    extension = load(f"meta-info: {{type: info}}\ngenerate:\n  payload:\n{lines}\ndetect: [response]")
    request = get("/p?q=1")
    attacks = extension.attacks(request, point_of(request, "GET_q_value"), MarkerSource(1))
    first = next(attacks)
    assert first.template == "p0STR_MARKER"
    assert sum(1 for _ in attacks) == 4999
