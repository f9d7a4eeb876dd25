import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from points_kit import assert_round_trip, get, named, post, values

from fastci.node.points import list_points

XML = b"application/xml"
DOCUMENT = b"""<?xml version="1.0"?>
<!DOCTYPE foo SYSTEM "example.dtd" [
<!ENTITY xxe "aaaa">
<!ENTITY sample "This is &xxe;.">
<!ENTITY out SYSTEM "file:///etc/passwd">
<!ENTITY % part PUBLIC "-//X" 'part.dtd'> %part;
<!ELEMENT text (#PCDATA)>
]>
<?xml-stylesheet type="text/xsl" href="style.xsl"?>
<?last-edit user="Joe"?>
<!-- first -->
<text category="informational" font='12'>
    Sample &lt; text.
</text>
<text>
    &sample;&out;
</text>
<!--second-->
"""


def test_every_filter_names_its_part():
    assert values(post(DOCUMENT, XML), "POST_XML_XML") == {
        "POST_XML_XML_DTD_value": b"example.dtd",
        "POST_XML_XML_DTD_ENTITY_0_value": b"aaaa",
        "POST_XML_XML_DTD_ENTITY_1_value": b"This is &xxe;.",
        "POST_XML_XML_DTD_ENTITY_2_value": b"file:///etc/passwd",
        "POST_XML_XML_DTD_ENTITY_3_value": b"part.dtd",
        "POST_XML_XML_PI_0_value": b'type="text/xsl" href="style.xsl"',
        "POST_XML_XML_PI_1_value": b'user="Joe"',
        "POST_XML_XML_COMMENT_0_value": b"first",
        "POST_XML_XML_TAG_text_value": b"Sample < text.",
        "POST_XML_XML_TAG_text_XML_ATTR_category_value": b"informational",
        "POST_XML_XML_TAG_text_XML_ATTR_font_value": b"12",
        "POST_XML_XML_TAG_text_ARRAY_1_value": b"This is aaaa.&out;",
        "POST_XML_XML_COMMENT_1_value": b"second",
    }


def test_names_of_entities_and_instructions_are_points():
    found = named(post(DOCUMENT, XML))
    assert found["POST_XML_XML_DTD_ENTITY_0_name"].value == b"xxe"
    assert found["POST_XML_XML_PI_1_name"].value == b"last-edit"
    assert b"<?touched user=" in found["POST_XML_XML_PI_1_name"].write(b"touched").body


def test_whole_document_is_without_its_declaration():
    point = named(post(DOCUMENT, XML))["POST_XML_value"]
    assert point.value == DOCUMENT.partition(b"\n")[2]
    assert point.write(b"<x/>").body == b'<?xml version="1.0"?>\n<x/>'


def test_elements_inside_others_are_counted_over_the_document():
    found = values(post(b"<o><i>1</i><p><i>2</i></p><i/></o>", XML), "POST_XML_XML_TAG")
    assert found == {
        "POST_XML_XML_TAG_i_value": b"1",
        "POST_XML_XML_TAG_i_ARRAY_1_value": b"2",
        "POST_XML_XML_TAG_i_ARRAY_2_value": b"",
    }


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("TAG_text_value", b"a<b>&\"'\r]]>", b"Sample &lt; text.", b"a&lt;b&gt;&amp;\"'&#13;]]&gt;"),
        ("TAG_text_value", b"Sample < text, more", b"Sample &lt; text.", b"Sample &lt; text, more"),
        ("TAG_text_XML_ATTR_font_value", b"'\"<\n", b"'12'", b"'&#39;&quot;&lt;&#10;'"),
        ("DTD_value", b"http://x/'\"", b'"example.dtd"', b'"http://x/%27%22"'),
        ("DTD_ENTITY_0_value", b"<\"&%'", b'"aaaa"', b'"&#38;#60;&#34;&#38;#38;&#37;&#39;"'),
        ("DTD_ENTITY_2_value", b"http://x/'", b'"file:///etc/passwd"', b'"http://x/%27"'),
        ("COMMENT_0_value", b"x--><y>-", b"<!-- first -->", b"<!-- x- -><y>-  -->"),
        ("PI_1_value", b"x?><y>", b'user="Joe"', b"x? ><y>"),
    ],
)
def test_write_escapes_for_its_place_and_leaves_the_rest(name: str, value: bytes, old: bytes, new: bytes):
    request = post(DOCUMENT, XML)
    changed = named(request)[f"POST_XML_XML_{name}"].write(value)
    assert changed.body == DOCUMENT.replace(old, new)
    assert changed.get(b"content-length") == b"%d" % len(changed.body)


def test_write_raw_leaves_markup_as_it_is():
    changed = named(post(DOCUMENT, XML))["POST_XML_XML_TAG_text_value"].write(b"<x>&xxe;</x>", raw=True)
    assert b"    <x>&xxe;</x>\n</text>" in changed.body


def test_cdata_stays_cdata():
    request = post(b"<a> <![CDATA[x<y]]> </a>", XML)
    point = named(request)["POST_XML_XML_TAG_a_value"]
    assert point.value == b"x<y"
    changed = point.write(b"<z>]]>&")
    assert changed.body == b"<a> <![CDATA[<z>]]]]><![CDATA[>&]]> </a>"
    assert ET.fromstring(changed.body).text == " <z>]]>& "
    assert values(changed)["POST_XML_XML_TAG_a_value"] == b"<z>]]>&"


@pytest.mark.parametrize(
    ("body", "new"), [(b"<a/>", b"<a>x</a>"), (b"<a b='c' />", b"<a b='c' >x</a>"), (b"<a></a>", b"<a>x</a>")]
)
def test_empty_element_takes_a_value(body: bytes, new: bytes):
    assert named(post(body, XML))["POST_XML_XML_TAG_a_value"].write(b"x").body == new


@pytest.mark.parametrize(
    "body",
    [
        b"<a>", b"<a></b>", b"</a>", b"<a b=c/>", b"<a", b"<a><![CDATA[x</a>", b"<!-- x", b"text",
        b"<a/>text", b"<!DOCTYPE x [<!ENTITY a 'b>]><x/>", b"<? ?>", b"<a b='1' c></a>", b"< a/>",
        b"<a><b></a></b>", b"1 < 2 > 1",
    ],
)  # fmt: skip
def test_broken_xml_is_one_opaque_body(body: bytes):
    assert not [p for p in list_points(post(body, XML)) if "XML" in p.layers]


def test_xml_in_a_parameter_and_without_content_type_is_recognised():
    assert values(get(b"/?q=%3Ca%3Eb%3C/a%3E"))["GET_q_XML_XML_TAG_a_value"] == b"b"
    assert values(post(b"\xef\xbb\xbf<a>b</a>"))["POST_XML_XML_TAG_a_value"] == b"b"


def test_external_entities_are_never_opened(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("something was opened"))
    found = values(post(b'<!DOCTYPE a [<!ENTITY e SYSTEM "/etc/passwd">]><a>&e;</a>', XML))
    assert found["POST_XML_XML_TAG_a_value"] == b"&e;"


def test_character_references_are_read_where_they_name_a_character():
    body = b"<a b='&#x41;&quot;'>&#65;&#x42;&#xD800;&#xdfff;&#0;&#1114112;&#x20AC;&nope;</a>"
    found = values(post(body, XML))
    assert found["POST_XML_XML_TAG_a_value"] == "AB&#xD800;&#xdfff;&#0;&#1114112;€&nope;".encode()
    assert found["POST_XML_XML_TAG_a_XML_ATTR_b_value"] == b'A"'
    assert_round_trip(post(body, XML))


def test_entity_bombs_stay_unexpanded():
    levels = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    found = values(post(b'<!DOCTYPE l [<!ENTITY l0 "lol">' + levels + b"]><l>&l9; &l2;</l>", XML))
    assert found["POST_XML_XML_TAG_l_value"] == b"&l9; " + b"lol" * 100
    many = b'<!DOCTYPE l [<!ENTITY a "' + b"x" * 60_000 + b'">]><l>' + b"&a;" * 1000 + b"</l>"
    assert values(post(many, XML))["POST_XML_XML_TAG_l_value"] == b"&a;" * 1000
    ring = b'<!DOCTYPE l [<!ENTITY a "&b;"><!ENTITY b "&a;">]><l>&a;</l>'
    assert values(post(ring, XML))["POST_XML_XML_TAG_l_value"] == b"&a;"


texts = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=20)
fragments = st.lists(
    st.sampled_from(
        [
            b"<a>",
            b"</a>",
            b"<b c='d'>",
            b"</b>",
            b"<e/>",
            b"x",
            b" &lt;",
            b"<![CDATA[<]]>",
            b"<!--n-->",
            b"<?p q?>",
        ]
    ),
    max_size=10,
)


@given(fragments)
def test_any_fragments_round_trip(pieces: list[bytes]):
    assert_round_trip(post(b"<r>" + b"".join(pieces) + b"</r>", XML))


@given(texts, texts)
def test_text_and_attribute_read_back_and_are_well_formed(text: str, attribute: str):
    request = post(b'<r><a b="c">old</a></r>', XML)
    changed = named(request)["POST_XML_XML_TAG_a_value"].write(text.encode())
    changed = named(changed)["POST_XML_XML_TAG_a_XML_ATTR_b_value"].write(attribute.encode())
    element = ET.fromstring(changed.body)[0]
    assert (element.text, element.attrib["b"]) == (text, attribute)
