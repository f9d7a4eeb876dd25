from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from fastci.errors import ConfigurationError, ExitStatus, UsageError
from fastci.node.policy import Policy, load_policy, policy_schema, shipped_policies
from fastci.node.vulnerabilities import VULNERABILITIES


def faults(text: str, folder: Path) -> list[str]:
    path = folder / "own.yml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_policy("own", folder)
    assert caught.value.status is ExitStatus.USAGE
    return [fault.removeprefix(f"{folder}/") for fault in caught.value.faults]


def test_default_is_what_fast_tests():
    policy = load_policy("", None)
    assert policy == load_policy("default", None)
    assert [p.text for p in policy.include] == [
        "URI",
        "PATH_.*",
        "ACTION_NAME",
        "ACTION_EXT",
        "GET_.*",
        "POST_.*",
    ]
    assert policy.exclude == ()
    assert policy.types == {"ptrav", "rce", "sqli", "xss", "xxe"}
    assert (policy.custom_only, policy.fuzzer) == (False, None)


@pytest.mark.parametrize(
    ("name", "default", "quick", "thorough"),
    [
        ("URI_value", True, False, True),
        ("PATH_0_value", True, False, True),
        ("GET_id_value", True, True, True),
        ("GET_id_BASE64_value", True, False, True),
        ("GET_id_name", False, False, True),
        ("POST_value", True, False, True),
        ("POST_JSON_DOC_value", True, False, True),
        ("POST_JSON_DOC_HASH_a_value", True, True, True),
        ("POST_JSON_DOC_HASH_a_name", False, False, True),
        ("POST_XML_XML_TAG_a_value", True, True, True),
        ("HEADER_Accept_value", False, False, True),
        ("HEADER_Cookie_COOKIE_sid_value", False, False, True),
        ("HEADER_Accept_name", False, False, True),
        ("HEADER_Host_value", False, False, True),
        ("HEADER_Host_name", False, False, False),
        ("HEADER_content-length_value", False, False, False),
        ("HEADER_Transfer-Encoding_value", False, False, False),
        ("METHOD_value", False, False, True),
    ],
)
def test_shipped_policies_admit(name: str, default: bool, quick: bool, thorough: bool):
    admitted = [load_policy(policy, None).admits(name) for policy in ("default", "quick", "thorough")]
    assert admitted == [default, quick, thorough]


def test_shipped_policies_are_known_and_thorough_tries_every_type():
    assert shipped_policies() == ["default", "quick", "thorough"]
    assert load_policy("thorough", None).types == set(VULNERABILITIES)


def test_own_policy_starts_as_a_copy_of_the_default(tmp_path: Path):
    (tmp_path / "own.yml").write_text("name: Ours\ntags: [a, b]\ninsertion-points:\n  exclude: [GET_token]\n")
    policy = load_policy("own", tmp_path)
    assert (policy.id, policy.name, policy.tags) == ("own", "Ours", ("a", "b"))
    assert policy.include == load_policy("default", None).include
    assert policy.types == load_policy("default", None).types
    assert policy.admits("GET_id_value")
    assert not policy.admits("GET_token_JWT_PAYLOAD_JSON_DOC_HASH_a_value")
    assert load_policy(str(tmp_path / "own.yml"), None) == policy


def test_policy_file_beside_the_caller_is_found_by_its_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "own.yml").write_text("name: Ours\n")
    monkeypatch.chdir(tmp_path)
    assert load_policy("own.yml", None).name == "Ours"
    with pytest.raises(UsageError, match="no test policy 'own'"):
        load_policy("own", None)


def test_empty_policy_file_is_the_default_by_another_name(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("")
    assert load_policy("own", tmp_path).include == load_policy("default", None).include


def test_default_policy_cannot_be_replaced(tmp_path: Path):
    (tmp_path / "default.yml").write_text("attacks: {types: all}\n")
    (tmp_path / "quick.yml").write_text("attacks: {types: all}\n")
    assert load_policy("default", tmp_path) == load_policy("default", None)
    assert load_policy("quick", tmp_path).types == set(VULNERABILITIES)


def test_types_hold_for_built_in_checks_only(tmp_path: Path):
    (tmp_path / "own.yml").write_text("attacks: {types: [sqli]}\n")
    policy = load_policy("own", tmp_path)
    assert policy.tries("sqli", builtin=True)
    assert not policy.tries("xss", builtin=True)
    assert policy.tries("xss", builtin=False)
    (tmp_path / "own.yml").write_text("use-only-custom-dsl: true\n")
    policy = load_policy("own", tmp_path)
    assert not policy.tries("sqli", builtin=True)
    assert policy.tries("sqli", builtin=False)


def test_fuzzer_section_is_read(tmp_path: Path):
    (tmp_path / "own.yml").write_text(
        "fuzzer:\n  payload: {size: 123, insert: beginning}\n  anomaly-if: {body: SQLITE_ERROR}\n"
        "  not-anomaly-if: {status: '< 500'}\n  stop-if: {anomalies: '> 2'}\n"
    )
    assert load_policy("own", tmp_path).fuzzer == {
        "payload": {"size": 123, "insert": "beginning"},
        "anomaly-if": {"body": "SQLITE_ERROR"},
        "not-anomaly-if": {"status": "< 500"},
        "stop-if": {"anomalies": "> 2"},
    }
    for text, fuzzer in (("fuzzer: true", {}), ("fuzzer: off", None), ("fuzzer:", None)):
        (tmp_path / "own.yml").write_text(text)
        assert load_policy("own", tmp_path).fuzzer == fuzzer


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "a: 1",
            "own.yml:1: policy has no key 'a'; allowed: name, description, tags, insertion-points, attacks, ",
        ),
        (
            "\ndescripton: x",
            "own.yml:2: policy has no key 'descripton'; did you mean description?; allowed: ",
        ),
        (
            "insertion-points:\n  includes: [URI]",
            "own.yml:2: insertion-points has no key 'includes'; did you mean include?",
        ),
        (
            "insertion-points:\n  include:\n    - URI\n    - GET_(a",
            "own.yml:4: 'GET_(a' is not a point: a group is not closed",
        ),
        (
            "insertion-points: [URI]",
            "own.yml:1: insertion-points must be a mapping with the keys include, exclude",
        ),
        (
            "attacks:\n  types: [sqli, xsss]",
            "own.yml:2: there is no type 'xsss'; did you mean xss?; allowed: all, anomaly, ",
        ),
        ("use-only-custom-dsl: maybe", "own.yml:1: 'maybe' is not allowed; allowed: true, false"),
        ("name: [a]", "own.yml:1: a text must stand here"),
        ("name: a\nname: b", "own.yml:2: the key 'name' is given twice"),
        ("fuzzer: {payload: {size: 256}}", "own.yml:1: size: '256' is not allowed; allowed: 1..255"),
        (
            "fuzzer: {payload: {insert: start}}",
            "own.yml:1: insert: 'start' is not allowed; allowed: beginning, random, end",
        ),
        (
            "fuzzer: {stop-if: {anomalies: many}}",
            "own.yml:1: anomalies: 'many' is not allowed; allowed: a number after",
        ),
        ("fuzzer: {anomaly-if: {body: '('}}", "own.yml:1: body: '(' is not allowed (a group is not closed"),
        (
            "fuzzer: {payload: {insert: end, replace: last}}",
            "own.yml:1: insert and replace exclude each other; take one of them out",
        ),
        (
            "fuzzer: {payload: {insert: end, bytes: 3}}",
            "own.yml:1: bytes goes with `replace: first`, `last` or `random` only",
        ),
        ("fuzzer: {payloads: {}}", "own.yml:1: fuzzer has no key 'payloads'; did you mean payload?"),
        (
            "use-only-custom-dsl: true\nfuzzer: true",
            "own.yml:2: use-only-custom-dsl and the fuzzer exclude each other",
        ),
        ("a: [\n", "own.yml:2: not YAML: "),
        ("a: !!python/object:os.system x", "own.yml:1: policy has no key 'a'"),
        ("per-type: {sqlli: {}}", "own.yml:1: per-type has no key 'sqlli'; did you mean sqli?"),
        (
            "per-type:\n  xss:\n    types: all",
            "own.yml:3: per-type xss has no key 'types'; allowed: insertion-points",
        ),
        ("per-route:\n  - skip: true", "own.yml:2: a rule of per-route has no route"),
        ("per-route:\n  - route: '/a('", "own.yml:2: '/a(' is not a route: a group is not closed"),
        (
            "per-route:\n  - {route: /a, skp: true}",
            "own.yml:2: per-route has no key 'skp'; did you mean skip?",
        ),
        (
            "per-route:\n  - route: /a\n    attacks: {types: [xsss]}",
            "own.yml:3: there is no type 'xsss'; did you mean xss?",
        ),
        ("just a text", "own.yml:1: policy must be a mapping"),
        ("- a", "own.yml:1: policy must be a mapping"),
        ("a: \x07", "own.yml: not YAML: "),
    ],
)
def test_fault_names_file_line_and_what_is_allowed(text: str, fault: str, tmp_path: Path):
    found = faults(text, tmp_path)
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_all_faults_are_reported_at_once(tmp_path: Path):
    found = faults("a: 1\ninsertion-points:\n  include: ['(', '[']\nattacks: {types: [no, nope]}\n", tmp_path)
    assert [fault.partition(" ")[0] for fault in found] == [
        "own.yml:1:",
        "own.yml:3:",
        "own.yml:3:",
        "own.yml:4:",
        "own.yml:4:",
    ]


def test_unknown_policy_is_answered_with_the_known_ones(tmp_path: Path):
    (tmp_path / "ours.yml").write_text("")
    with pytest.raises(UsageError) as caught:
        load_policy("thoroug", tmp_path)
    assert caught.value.what == "there is no test policy 'thoroug'; did you mean thorough?"
    assert caught.value.why == "known policies: default, ours, quick, thorough"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_unreadable_policy_file_is_a_usage_error(content: bytes | None, tmp_path: Path):
    path = tmp_path / "x.yml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read"):
        load_policy(str(path), None)


RULES = """
insertion-points: {include: ['GET_.*'], exclude: [GET_token]}
attacks: {types: [sqli, xss]}
per-type:
  sqli:
    insertion-points: {include: ['GET_.*', 'HEADER_.*']}
  rce: {insertion-points: {exclude: [GET_q]}}
per-route:
  - route: '/admin/.*'
    skip: true
  - route: ['GET /search', '/find/\\{\\}']
    insertion-points: {include: [GET_q]}
    attacks: {types: [rce]}
  - route: '.*/search'
    insertion-points: {exclude: ['HEADER_.*']}
"""


@pytest.fixture
def ruled(tmp_path: Path) -> Policy:
    (tmp_path / "own.yml").write_text(RULES)
    return load_policy("own", tmp_path)


@pytest.mark.parametrize(
    ("point", "kind", "route", "admitted"),
    [
        ("GET_q_value", "", "/", True),
        ("HEADER_A_value", "", "/", False),
        ("HEADER_A_value", "sqli", "/", True),
        ("HEADER_A_value", "xss", "/", False),
        ("GET_token_value", "sqli", "/", False),
        ("GET_q_value", "rce", "/", False),
        ("GET_p_value", "rce", "/", True),
        ("GET_p_value", "", "/find/{}", False),
        ("GET_q_value", "", "/find/{}", True),
        ("HEADER_A_value", "sqli", "/find/{}", False),
        ("GET_p_value", "", "/find/{}/x", True),
        ("HEADER_A_value", "sqli", "/x/search", False),
    ],
)
def test_settings_of_a_type_and_of_a_route_decide_on_points(
    point: str, kind: str, route: str, admitted: bool, ruled: Policy
):
    assert ruled.at([route, f"GET {route}"]).admits(point, kind) is admitted


def test_settings_of_a_route_decide_on_types_there_only(ruled: Policy):
    there = ruled.at(["/search", "GET /search"])
    assert [there.tries(kind, builtin=True) for kind in ("sqli", "rce")] == [False, True]
    assert there.tries("sqli", builtin=False)
    elsewhere = ruled.at(["/search", "POST /search"])
    assert [elsewhere.tries(kind, builtin=True) for kind in ("sqli", "rce")] == [True, False]
    assert [ruled.ever_tries(kind, builtin=True) for kind in ("sqli", "rce", "xxe")] == [True, True, False]


def test_route_that_a_policy_leaves_out_says_which_rule(ruled: Policy):
    assert ruled.at(["/admin/x"]).left_out == "the policy leaves this route out (own.yml:9)"
    assert ruled.at(["/admin"]).left_out == ""
    assert ruled.at(["/other"]) is ruled


@pytest.mark.parametrize("policy", ["default", "quick", "thorough"])
def test_shipped_policy_is_as_its_schema_says(policy: str):
    document = yaml.safe_load((files("fastci.node") / "policies" / f"{policy}.yml").read_text())
    Draft202012Validator(policy_schema()).validate(document)


WELL_FORMED = [
    "", "name: 7", "tags: nightly", "insertion-points:", "insertion-points: {include: GET_a, exclude: []}",
    "attacks: {types: all}", "attacks: {types: [all]}", "attacks: {types: sqli}", "fuzzer: true",
    "use-only-custom-dsl: true", "use-only-custom-dsl: true\nfuzzer: false", RULES,
    "fuzzer: {payload: {size: 250, replace: first, bytes: 3}, anomaly-if: {status: 500, time: '> 1.5'}}",
    "fuzzer: {stop-if: {anomalies: '> 2', timeout-errors: 3, body: x}}", "per-route: {route: /a}",
]  # fmt: skip
ILL_FORMED = [
    "a: 1", "name: [a]", "insertion-points: [URI]", "attacks: {types: [xsss]}", "attacks: {type: [xss]}",
    "use-only-custom-dsl: maybe", "fuzzer: {payload: {size: 256}}", "fuzzer: {payload: {insert: start}}",
    "fuzzer: {stop-if: {anomalies: many}}", "use-only-custom-dsl: true\nfuzzer: true", "- a", "just a text",
    "per-type: {sqlx: {}}", "per-type: {sqli: {types: [a]}}", "per-route: [{skip: true}]", "per-route: [a]",
    "per-route: [{route: /a, skip: perhaps}]", "fuzzer: maybe", "fuzzer: {anomaly-if: {dom-diff: x}}",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "good"), [*((text, True) for text in WELL_FORMED), *((text, False) for text in ILL_FORMED)]
)
def test_schema_and_reader_agree(text: str, good: bool, tmp_path: Path):
    document = yaml.safe_load(text)
    assert Draft202012Validator(policy_schema()).is_valid(document) is good
    if good:
        (tmp_path / "own.yml").write_text(text)
        assert load_policy("own", tmp_path)
    else:
        assert faults(text, tmp_path)


def test_policy_of_the_guide_loads(tmp_path: Path):
    guide = (Path(__file__).parents[3] / "docs" / "policies.md").read_text()
    (block,) = (text for text in guide.split("```yaml\n")[1:] if text.startswith("name: Shop"))
    (tmp_path / "shop.yml").write_text(block.partition("```")[0])
    policy = load_policy("shop", tmp_path)
    assert policy.at(["/orders/{}"]).tries("sqli", builtin=True)
    assert not policy.at(["POST /checkout"]).tries("xss", builtin=True)
    assert policy.at(["/admin/users"]).left_out
