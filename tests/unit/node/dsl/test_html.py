"""Places in a page, decided by a parse: what is markup or code, and what only looks like it."""

import time

import pytest
from dsl_kit import attack_of, detects, html


def place(section: str, body: str) -> bool:
    looks = section if section.startswith("[") else f"{{{section}}}"
    return detects(f"- response: [body: [html: {looks}]]", body) is not None


@pytest.mark.parametrize(
    ("section", "body", "found"),
    [
        # tag
        ("[tag]", "<p><STR>x", True),
        ("[tag]", "<p>&lt;STR&gt;", False),
        ("[tag]", "<!-- <STR> -->", False),
        ("[tag]", "<textarea><STR></textarea>", False),
        ("[tag]", "<textarea></textarea><STR></textarea>", True),
        ("[tag]", "<title><STR></title>", False),
        ("[tag]", "<script>var a = '<STR>'</script>", False),
        ("[tag]", "<script>var a = '</script><STR>'</script>", True),
        ("[tag]", "<style><STR></style>", False),
        ("[tag]", "<noscript><STR></noscript>", False),
        ("[tag]", "<noscript></noscript><STR>", True),
        ("[tag]", "<xmp><STR></xmp>", False),
        ("[tag]", "<template><STR></template>", False),
        ("[tag]", '<a title="<STR>">', False),
        ("[tag]", '<iframe srcdoc="&lt;STR&gt;"></iframe>', True),
        ("[tag]", "<svg><STR></svg>", True),
        ("[tag]", "</STR>", False),
        ("tag: a", "<p><a>x</a>", True),
        ("tag: a", "<table><tr><td>a", False),
        ("tag: ['b', 'h\\d']", "<h2>x", True),
        ("tag: 'xSTR_MARKER'", "<xSTR>", True),
        # attributes
        ("[attr]", "<p STR=1>", True),
        ("[attribute]", '<p title="a STR">', True),
        ("[attr]", "<p>STR=1", False),
        ("attr: 'STR_MARKER$'", '<p title="STR">', True),
        ("attr: src", "<img src=a>", True),
        ("attr: id", "<p width=3>", False),
        ("attribute: 'abc|CALC_MARKER'", "<p class='xabcx'>", True),
        ("[attr-name]", '<input value="a"\' STR=1 ">', True),
        ("[attr-name]", '<input value="&quot; STR=1">', False),
        ("[attr-name]", "<input value='\" STR=1 '>", False),
        ("[attr-name]", "<input value=a\"' STR=1 >", True),
        # href
        ("[href]", '<a href="/x?STR">', True),
        ("[href]", '<img src="STR">', False),
        ("[href]", '<form action="STR">', True),
        ("href: '\\Ajavascript:STR_MARKER'", '<a href=" javascript:STR()">', True),
        ("href: '\\Ajavascript:STR_MARKER'", '<a href="/?javascript:STR">', False),
        ("href: '\\Ajavascript:STR_MARKER'", '<iframe src="javascript:STR">', True),
        ("[refresh]", '<meta http-equiv=refresh content="0; url=//STR/">', True),
        ("[refresh]", '<meta name=refresh content="0; url=//STR/">', False),
        # js
        ("[js]", "<script>STR()</script>", True),
        ("[js]", "<script>var a = 'STR';</script>", False),
        ("[js]", "<script>var a = '';STR//';</script>", True),
        ("[js]", "<script>var a = '\\';STR//';</script>", False),
        ("[js]", '<script>var a = "STR\'";</script>', False),
        ("[js]", "<script>// STR\n</script>", False),
        ("[js]", "<script>/* STR */</script>", False),
        ("[js]", "<script>/* */STR/* */</script>", True),
        ("[js]", "<script>var a = `x STR`;</script>", False),
        ("[js]", "<script>var a = `x ${STR}`;</script>", True),
        ("[js]", "<script>var a = /STR/g;</script>", False),
        ("[js]", "<script>var a = b /STR/ 2;</script>", True),
        ("[js]", '<script type="text/template">STR</script>', False),
        ("[js]", '<script type="application/json">STR</script>', False),
        ("[js]", "<script type=module>STR</script>", True),
        ("[js]", "<p onclick=\"f('STR')\">", False),
        ("[js]", "<p onclick=\"f('&#39;);STR//')\">", True),
        ("[js]", '<a href="javascript:STR()">', True),
        ("[js]", '<a href="java&#10;script:STR()">', True),
        ("[js]", '<link href="javascript:STR()">', False),
        ("[js]", "<p>STR</p>", False),
        ("js: wlrm", "<script>s='123'; wlrm=1;</script>", True),
        ("js: '123'", "<script>s='123'; wlrm=1;</script>", False),
        ("js: ['[;{]STR_MARKER']", "<script>a;STR</script>", True),
        ("js: ['[;{]STR_MARKER']", "<script>a STR</script>", False),
    ],
)  # fmt: skip
def test_place(section: str, body: str, found: bool):
    assert place(section, body) is found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<STR>", True),
        ("<p STR=1>", True),
        ("<script>STR</script>", True),
        ('<p title="STR">', False),
        ("<p>STR</p>", False),
    ],
)
def test_html_alone_means_that_the_marker_became_markup(body: str, found: bool):
    for section in ("- response: [body: [html]]", "- response: [body: [html: null]]"):
        assert (detects(section, body) is not None) is found


def test_match_names_the_place_and_shows_the_source():
    match = detects("- response: [body: [html: [tag]]]", "<p>Tea <STR>")
    assert match is not None
    assert "the name of a tag" in match.what
    assert match.excerpt.startswith("<p>Tea <")


def test_marker_that_the_page_shows_in_upper_case_is_the_same_tag():
    extension, attack = attack_of("- response: [body: [html: [tag]]]")
    assert extension.detect(attack, html(f"<p><{attack.markers.text.upper()}>")) is not None


def test_page_of_a_megabyte_with_many_scripts_is_read_in_time():
    page = "<div class=a title='b'><script>var a = 'x', b = `y ${z}`; f(/r/g);</script></div>" * 12_000
    begin = time.process_time()
    assert not place("js: nowhere", page)
    assert time.process_time() - begin < 4


@pytest.mark.parametrize(
    "page", ["<" * 200_000, "<a " * 100_000, "`${" * 50_000, "<div>" * 50_000, "/" * 100_000]
)
def test_hostile_page_is_read_in_time(page: str):
    begin = time.process_time()
    assert not place("js: nowhere", f"<script>{page}</script>{page}")
    assert time.process_time() - begin < 4
