"""The phases before anything is sent, by the worked facts of spec/extensions.md and some more."""

import time
from dataclasses import replace

import pytest
from dsl_kit import answer, extension_with, get, load, point_of, post_json

from fastci.node.dsl import Extension, ExtensionFault, MarkerSource, Memory
from fastci.node.dsl.extension import SEND_METHODS
from fastci.node.message import Field, Request
from fastci.node.points import list_points

LOGIN = """
meta-info: [type: sqli, threat: 80]
collect:
  - uniq:
    - [PATH_0_value, PATH_1_value, ACTION_NAME_value]
match:
  - PATH_0_value: 'rest'
  - PATH_1_value: 'user'
  - ACTION_NAME_value: 'login'
modify:
  - POST_JSON_DOC_HASH_email_value: dummy
  - POST_JSON_DOC_HASH_password_value: dummy
generate:
  - into: POST_JSON_DOC_HASH_email_value
  - method: [replace]
  - payload: ["'or 1=1 --", "admin@juice-sh.op'--"]
detect:
  - response:
    - body: '"umail":"admin@juice-sh.op"'
    - body: '"bid":1'
"""


def requests_of(extension: Extension, request: Request, memory: Memory) -> list[Request]:
    """Every test request of a baseline, through the phases in their order."""
    if not (extension.collects(list_points(request), memory) and extension.matches(list_points(request))):
        return []
    changed = extension.modified(request)
    source = MarkerSource(1)
    targets = extension.targets(list_points(changed))
    return [attack.request for point in targets for attack in extension.attacks(changed, point, source)]


def test_login_extension_makes_two_requests_for_the_first_baseline_and_none_for_the_next():
    extension, memory = load(LOGIN), Memory()
    baseline = post_json("/rest/user/login", '{"email": "a@b.c", "password": "secret"}')
    first = requests_of(extension, baseline, memory)
    assert [request.body for request in first] == [
        b'{"email": "\'or 1=1 --", "password": "dummy"}',
        b'{"email": "admin@juice-sh.op\'--", "password": "dummy"}',
    ]
    assert requests_of(extension, baseline, memory) == []
    found = extension.detect(
        next(
            extension.attacks(baseline, point_of(baseline, "POST_JSON_DOC_HASH_email_value"), MarkerSource(1))
        ),
        answer('{"authentication":{"bid":1,"umail":"x"}}'),
    )
    assert found is not None
    assert "bid" in found.what


# collect


def collected(uniq: str, *targets: str) -> list[bool]:
    extension, memory = extension_with(f"collect: [{{uniq: {uniq}}}]"), Memory()
    return [extension.collects(list_points(get(target)), memory) for target in targets]


def test_uniq_by_one_point_accepts_each_value_once():
    targets = ("/example?uid=1", "/demo?uid=1", "/demo?uid=", "/billing?uid=1", "/billing?uid=abc")
    assert collected("[[GET_uid_value]]", *targets) == [True, False, True, False, True]


def test_uniq_by_several_points_compares_the_tuple():
    targets = ("/a/b/x", "/a/b/c/x", "/d/b/c/x", "/a")
    assert collected("[[PATH_0_value, PATH_1_value]]", *targets) == [True, False, True, False]


def test_uniq_falls_through_to_the_next_item_where_a_point_is_absent():
    assert collected("[[GET_a], [GET_b]]", "/?a=1", "/?b=1", "/?b=1", "/?a=1&b=2", "/?c=1") == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_uniq_with_a_bare_point_and_without_service_word_counts():
    assert collected("[URI]", "/a?x=1", "/a?x=2", "/b") == [True, False, True]


def test_uniq_of_two_extensions_is_kept_apart():
    memory = Memory()
    points = list_points(get("/?a=1"))
    section = "meta-info: {type: info}\ndetect: [response]\ncollect: [{uniq: [[GET_a]]}]"
    assert load(section, "one.yaml").collects(points, memory)
    assert load(section, "two.yaml").collects(points, memory)


def test_testrun_accepts_one_baseline_and_another_once_that_led_to_no_request():
    extension, memory = extension_with("collect: [{uniq: [testrun]}]"), Memory()
    points = list_points(get("/"))
    assert extension.collects(points, memory)
    assert not extension.collects(points, memory)
    memory.release(extension)
    assert extension.collects(points, memory)


# match


@pytest.mark.parametrize(
    ("condition", "target", "holds"),
    [
        ("GET_q: ea", "/?q=tea", True),
        ("GET_q: '^ea'", "/?q=tea", False),
        ("'GET_b*_value': '.*'", "/?b=", True),
        ("'GET_b*_value': '.*'", "/?c=", False),
        ("GET_a: null", "/?b=1", True),
        ("GET_a: null", "/?a=", False),
        ("'GET_.*': '^7$'", "/?a=6&b=7", True),
        ("HEADER_host: shop", "/", True),
        ("ACTION_EXT: php", "/index.php", True),
        ("{GET_a: 1, GET_b: 2}", "/?a=1&b=3", False),
    ],
)
def test_match_condition(condition: str, target: str, holds: bool):
    extension = extension_with(f"match: [{condition}]")
    assert extension.matches(list_points(get(target))) is holds


def test_match_with_a_pattern_that_hangs_is_the_extensions_fault():
    extension = extension_with("match: [{GET_q: '^(a|a)*$'}]")
    with pytest.raises(ExtensionFault, match=r"^own\.yaml:4:17: the regular expression .* took longer"):
        extension.matches(list_points(get(f"/?q={'a' * 40}b")))


# modify


def test_modify_sets_what_is_there_and_adds_nothing():
    extension = extension_with(
        "modify: [{GET_a: new}, {GET_z: x}, {'HEADER_CONTENT-TYPE_value': text/xml}, {GET_b: ''}]"
    )
    request = get("/?a=1&b=2&c=3", ("Content-Type", "text/plain"))
    changed = extension.modified(request)
    assert changed.target == b"/?a=new&b=&c=3"
    assert changed.get(b"content-type") == b"text/xml"
    assert len(changed.fields) == len(request.fields)


def test_modify_with_a_pattern_sets_all_that_it_means():
    assert extension_with("modify: [{'GET_.*': x}]").modified(get("/?a=1&b=2")).target == b"/?a=x&b=x"


def test_modify_that_changes_nothing_gives_the_same_request():
    request = get("/?a=1")
    assert extension_with("modify: [{GET_a: 1}, {GET_b: 2}]").modified(request) is request


# generate


def written(generate: str, target: str = "/?a=one&b=two") -> list[str]:
    extension = extension_with(f"generate: {generate}")
    return [r.target.decode() for r in requests_of(extension, get(target), Memory())]


def test_payloads_times_methods_is_the_number_of_requests():
    assert written("{payload: [X, Y], method: [prefix, replace], into: GET_a}") == [
        "/?a=Xone&b=two", "/?a=X&b=two", "/?a=Yone&b=two", "/?a=Y&b=two",
    ]  # fmt: skip


def test_method_defaults_to_replace_and_postfix_appends():
    assert written("{payload: [X], into: GET_a}") == ["/?a=X&b=two"]
    assert written("{payload: [X], into: GET_a, method: postfix}") == ["/?a=oneX&b=two"]


def test_method_random_puts_the_payload_inside_and_repeats_with_the_seed():
    first = written("{payload: [X], into: GET_a, method: random}", "/?a=abcdefgh")
    assert first == written("{payload: [X], into: GET_a, method: random}", "/?a=abcdefgh")
    assert first[0].replace("X", "") == "/?a=abcdefgh"


def test_into_without_a_list_with_a_pattern_or_without_service_word():
    assert written("{payload: [X], into: 'GET_[ab]'}") == ["/?a=X&b=two", "/?a=one&b=X"]
    assert written("{payload: [X], into: GET}") == ["/?a=X&b=two", "/?a=one&b=X"]
    assert written("{payload: [X], into: [GET_b, GET_a]}") == ["/?a=X&b=two", "/?a=one&b=X"]
    assert written("{payload: [X], into: GET_c}") == []


def test_into_narrows_the_points_that_the_policy_leaves():
    extension = extension_with("generate: {payload: [X], into: GET_.*}")
    admitted = [point for point in list_points(get("/?a=1&b=2")) if point.name == "GET_b_value"]
    assert [point.name for point in extension.targets(admitted)] == ["GET_b_value"]


def test_points_of_a_kind_or_with_a_fitting_value_only():
    request = post_json("/", '{"a": "x", "n": 7, "t": true}')
    points = [point for point in list_points(request) if point.name.startswith("POST_JSON_DOC_HASH")]
    by_kind = extension_with("generate: {payload: [X], kinds: [number, boolean]}").targets(points)
    assert [point.value for point in by_kind if point.name.endswith("_value")] == [b"7", b"true"]
    by_value = extension_with("generate: {payload: [X], when: '\\A\\d+\\z'}").targets(points)
    assert [point.name for point in by_value] == ["POST_JSON_DOC_HASH_n_value"]


def test_raw_payload_is_written_without_escaping():
    request = post_json("/", '{"a": "x"}')
    extension = extension_with(
        "generate: {payload: ['{\"$ne\":1}'], into: POST_JSON_DOC_HASH_a_value, raw: true}"
    )
    assert requests_of(extension, request, Memory())[0].body == b'{"a": {"$ne":1}}'


def test_extension_that_generates_nothing_sends_the_baseline_once():
    request = get("/?a=1&b=2")
    assert requests_of(load("meta-info: {type: info}\ndetect: [response]"), request, Memory()) == [request]


XML = b'<?xml version="1.0"?><l><i><n>a</n></i><i><n>b</n></i><c k="v">5</c></l>'
INSIDE = """
generate:
  into: '.*XML_value'
  inside: '.*XML_TAG_(?!.*XML_ATTR).*_value'
  prolog: '<!DOCTYPE x [<!ENTITY STR_MARKER "1">]>'
  raw: true
  payload: ['&STR_MARKER;']
"""


def test_payload_inside_a_document_goes_to_each_kind_of_element_with_the_prolog_before_the_root():
    request = get("/", ("Content-Type", "application/xml"), ("Content-Length", "0"))
    request = Request(method=b"POST", target=b"/", fields=request.fields).with_body(XML)
    extension, source = extension_with(INSIDE), MarkerSource(1)
    (point,) = extension.targets(list_points(request))
    attacks = list(extension.attacks(request, point, source))
    assert {attack.point for attack in attacks} == {"POST_XML_value"}
    texts = [attack.request.body.decode().replace(attack.markers.text, "M") for attack in attacks]
    start = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY M "1">]><l>'
    assert texts == [
        f'{start}<i><n>&M;</n></i><i><n>b</n></i><c k="v">5</c></l>',
        f'{start}<i><n>a</n></i><i><n>b</n></i><c k="v">&M;</c></l>',
    ]
    again = extension.again(attacks[0], source)
    assert again.request.body.decode().replace(again.markers.text, "M") == texts[0]
    assert again.markers.text != attacks[0].markers.text
    assert again.point == "POST_XML_value"


# markers and confirmation


def test_attacks_have_fresh_markers_and_payloads_for_a_callback_need_a_listener():
    extension = extension_with(
        "generate: {payload: ['<STR_MARKER>', '//DNS_MARKER', CALC_MARKER], into: GET_a}", "- oob"
    )
    request = get("/?a=1")
    point = point_of(request, "GET_a_value")
    without = list(extension.attacks(request, point, MarkerSource(1)))
    assert [attack.template for attack in without] == ["<STR_MARKER>", "CALC_MARKER"]
    attacks = list(extension.attacks(request, point, MarkerSource(1, "*.oob.example")))
    assert attacks[1].payload == f"//{attacks[1].markers.domain}"
    assert len({attack.markers.text for attack in attacks}) == 3


def test_attacks_of_one_seed_are_the_same_requests():
    extension = extension_with(
        "generate: {payload: [a-STR_MARKER, CALC_MARKER], method: [random, postfix], into: GET_a}"
    )
    request = get("/?a=12345678")
    point = point_of(request, "GET_a_value")
    runs = [[a.request for a in extension.attacks(request, point, MarkerSource(5))] for _ in range(2)]
    assert runs[0] == runs[1]


def test_again_keeps_payload_and_place_and_renews_the_markers():
    extension = extension_with("generate: {payload: ['<STR_MARKER>'], method: random, into: GET_a}")
    request, source = get("/?a=abcdefghijklmnop"), MarkerSource(9)
    (attack,) = extension.attacks(request, point_of(request, "GET_a_value"), source)
    again = extension.again(attack, source)
    assert again.markers.text != attack.markers.text
    assert again.request.target.replace(again.markers.text.encode(), b"M") == attack.request.target.replace(
        attack.markers.text.encode(), b"M"
    )
    assert (again.template, again.method, again.point) == (attack.template, attack.method, attack.point)


def control_of(value: str, generate: str = "{payload: ['<STR_MARKER>'], method: postfix}") -> str | None:
    extension = extension_with(f"generate: {generate}")
    request, source = get(f"/?a={value}"), MarkerSource(4)
    point = point_of(request, "GET_a_value")
    (attack,) = extension.attacks(request, point, source)
    control = extension.control(request, point, source, like=attack)
    if control is None:
        return None
    return control.request.target.decode().replace(control.markers.text, "M")


def test_control_at_a_text_is_a_bare_marker_put_in_the_same_way():
    assert control_of("tea") == "/?a=teaM"
    assert control_of("tea", "{payload: ['<STR_MARKER>']}") == "/?a=M"
    assert control_of("tea", "{payload: ['<STR_MARKER>'], method: prefix}") == "/?a=Mtea"


def test_control_at_a_number_stays_a_number():
    target = control_of("17")
    assert target is not None
    assert target.removeprefix("/?a=17").isdigit()


def test_control_at_a_path_stays_a_path():
    extension, source = extension_with("generate: {payload: ['//STR_MARKER/'], into: URI}"), MarkerSource(1)
    request = get("/a/b")
    control = extension.control(request, point_of(request, "URI_value"), source)
    assert control is not None
    assert control.request.target == f"/{control.markers.text}".encode()


def test_control_of_a_harmless_payload_does_not_exist():
    assert control_of("tea", "{payload: [userSTR_MARKER]}") is None
    assert control_of("tea", "{payload: [CALC_MARKER]}") is not None


# send

SEND = """
meta-info: {type: info}
send:
  - method: POST
    url: '/a b?x=STR_MARKER'
    headers:
      - Content-Type: application/json
      - X-Id: 'STR_MARKER'
    body: '{"a": "STR_MARKER"}'
  - method: GET
    url: 'http://elsewhere.example/b'
    headers: [{host: demo.example}]
detect: [response: [body: STR_MARKER]]
"""


def sent(text: str, domain: str = "") -> list[Request]:
    extension = load(text)
    assert extension.sends
    assert extension.targets(list_points(get("/?a=1"))) == []
    return [attack.request for attack in extension.attacks(get("/?a=1"), None, MarkerSource(1, domain))]


def test_fixed_requests_are_complete_and_have_their_markers():
    post, second = sent(SEND)
    marker = post.target.rpartition(b"=")[2]
    assert post.target == b"/a%20b?x=" + marker
    assert post.body == b'{"a": "' + marker + b'"}'
    assert post.get(b"x-id") == marker
    assert post.get(b"host") == b"shop.example"
    assert post.get(b"content-length") == b"%d" % len(post.body)
    assert (second.method, second.target) == (b"GET", b"/b")
    assert second.get_all(b"host") == [b"demo.example"]
    assert second.get(b"content-length") is None


def test_fixed_request_with_its_own_length_keeps_it():
    text = SEND.replace("- X-Id: 'STR_MARKER'", "- content-length: 3")
    assert sent(text)[0].get_all(b"content-length") == [b"3"]


def test_fixed_request_for_a_callback_needs_a_listener():
    text = SEND.replace("/b'", "/DNS_MARKER'").partition("detect:")[0] + "detect:\n- oob"
    assert len(sent(text)) == 1
    assert b".oob.example" in sent(text, "*.oob.example")[1].target


def test_payload_whose_answer_may_show_it_too_is_sent_without_a_listener():
    extension = extension_with(
        "generate: {payload: ['|host DNS_MARKER;echo CALC_MARKER'], into: GET_a}",
        "- oob: [dns]\n- response: [{body: CALC_MARKER}]",
    )
    (attack,) = extension.attacks(get("/?a=1"), point_of(get("/?a=1"), "GET_a_value"), MarkerSource(1))
    assert attack.markers.domain.endswith(".invalid")


@pytest.mark.parametrize(
    ("payload", "callback", "sent"),
    [
        (";nslookup DNS_MARKER", "10.0.0.1:80/*", False),
        ("$(getent%20hosts%20DNS_MARKER)", "10.0.0.1:80/*", False),
        ("getent$IFS$9hosts$IFS$9DNS_MARKER", "10.0.0.1:80/*", False),
        ("//x.DNS_MARKER/", "10.0.0.1:80/*", False),
        (";nslookup DNS_MARKER", "*.oob.example", True),
        ("curl http://DNS_MARKER||nslookup DNS_MARKER", "10.0.0.1:80/*", True),
        ("%2f%2fDNS_MARKER", "10.0.0.1:80/*", True),
        ("http://localhost@DNS_MARKER/", "10.0.0.1:80/*", True),
        ("${jndi:ldap://DNS_MARKER}", "10.0.0.1:80/*", True),
    ],
)
def test_payload_that_only_a_resolver_reads_needs_a_name(payload: str, callback: str, sent: bool):
    extension = extension_with(f"generate: {{payload: [{payload!r}], into: GET_a}}", "- oob")
    request = get("/?a=1")
    source = MarkerSource(1, callback)
    assert bool(list(extension.attacks(request, point_of(request, "GET_a_value"), source))) is sent


def test_fixed_requests_are_unique_by_host():
    extension, memory = load(SEND), Memory()
    other = Request(method=b"GET", target=b"/", fields=(Field.of(b"Host", b"other.example"),))
    hosts = [get("/"), get("/b"), other]
    assert [extension.collects(list_points(r), memory) for r in hosts] == [True, False, True]


def test_control_of_a_fixed_request_asks_for_what_cannot_exist():
    extension, source = load(SEND), MarkerSource(1)
    attack = next(extension.attacks(get("/"), None, source))
    control = extension.control(get("/"), None, source, like=attack)
    assert control is not None
    assert (control.request.method, control.request.body) == (b"POST", b"")
    assert control.request.target == f"/{control.markers.text}".encode()


# what files of real users do


@pytest.mark.parametrize("word", ["URI", "ACTION_NAME", "HEADER_HOST"])
def test_uniq_of_one_bare_point_per_item_counts(word: str):
    other = get("/b/d?x=1", ("Host", "other.example"))
    other = Request(method=b"GET", target=b"/b/d?x=1", fields=other.fields[1:])
    extension, memory = extension_with(f"collect: [{{uniq: [[{word}]]}}]"), Memory()
    accepted = [extension.collects(list_points(r), memory) for r in (get("/a/c"), get("/a/c?y=2"), other)]
    assert accepted == [True, False, True]


def test_match_on_an_ending_without_service_word():
    extension = extension_with("match: [{ACTION_EXT: '^php$'}]")
    assert [extension.matches(list_points(get(t))) for t in ("/a.php", "/a.phps", "/a")] == [
        True,
        False,
        False,
    ]


def test_modify_value_is_a_text_and_no_expression():
    assert extension_with("modify: [{GET_a: 'x.*'}]").modified(get("/?a=1")).target == b"/?a=x.%2A"


def test_modify_of_a_header_that_the_attack_needs_then_payload_in_the_body():
    extension = extension_with(
        "modify: [{HEADER_CONTENT-TYPE_value: text/x-evil}]\ngenerate: {payload: [X], into: POST_value}"
    )
    (request,) = requests_of(extension, post_json("/", '{"a": 1}'), Memory())
    assert (request.get(b"content-type"), request.body) == (b"text/x-evil", b"X")
    assert request.get(b"content-length") == b"1"


@pytest.mark.parametrize("method", SEND_METHODS)
def test_fixed_request_may_have_each_method(method: str):
    extension = load(f"meta-info: {{type: info}}\nsend: [{{method: {method}, url: /x}}]\ndetect: [response]")
    (attack,) = extension.attacks(get("/"), None, MarkerSource(1))
    assert attack.request.head().startswith(f"{method} /x HTTP/1.1\r\n".encode())


def test_payload_list_of_thousands_is_made_one_by_one():
    payloads = ", ".join(f"p{number}" for number in range(3000))
    extension = extension_with(f"generate: {{payload: [{payloads}], into: GET_a}}")
    request = get("/?a=1")
    written: list[bytes] = []
    point = point_of(request, "GET_a_value")
    counting = replace(point, _put=lambda value, raw, /: (written.append(value), point._put(value, raw))[1])
    attacks = extension.attacks(request, counting, MarkerSource(1))
    assert [next(attacks).payload for _ in range(3)] == ["p0", "p1", "p2"]
    assert written == [b"p0", b"p1", b"p2"]


def test_markers_of_each_test_request_are_fresh():
    extension = extension_with("generate: {payload: [STR_MARKER], method: [prefix, postfix], into: GET}")
    source = MarkerSource(1)
    texts = [
        attack.markers.text
        for target in ("/?a=1&b=2", "/?c=3")
        for point in extension.targets(list_points(get(target)))
        for attack in extension.attacks(get(target), point, source)
    ]
    assert len(texts) == 6
    assert len(set(texts)) == 6


def test_extension_that_cannot_end_is_its_own_fault_once_and_for_all():
    extension = extension_with("match: [{GET_q: '^(a|a)*$'}]")
    hostile = list_points(get(f"/?q={'a' * 40}b"))
    with pytest.raises(ExtensionFault):
        extension.matches(hostile)
    begin = time.process_time()
    for _ in range(50):
        with pytest.raises(ExtensionFault, match=r"^own\.yaml:4:17: .* took longer"):
            extension.matches(hostile)
    assert time.process_time() - begin < 0.5
