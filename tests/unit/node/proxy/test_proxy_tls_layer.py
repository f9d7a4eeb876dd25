import contextlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastci.node.proxy import Authority
from fastci.node.proxy.sniff import Speech, sniff
from fastci.node.proxy.tls import ClientHello, TlsLayer, parse_client_hello


def client_context(authority: Authority | None = None, *alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(cadata=authority.certificate_pem.decode())
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def hello_bytes(name: str = "shop.test", *alpn: str) -> bytes:
    layer = TlsLayer(client_context(None, *alpn), server_side=False, server_name=name)
    layer.start()
    return layer.take_outgoing()


HELLO = hello_bytes("Shop.test", "h2", "http/1.1")


def test_hello_tells_name_and_protocols():
    assert parse_client_hello(HELLO) == ClientHello(server_name="shop.test", protocols=(b"h2", b"http/1.1"))
    assert parse_client_hello(hello_bytes("127.0.0.1")) == ClientHello(server_name="", protocols=())


@pytest.mark.parametrize(
    ("alpn", "speaks"), [((), True), (("h2",), False), (("http/1.1",), True), (("h2", "http/1.0"), True)]
)
def test_hello_speaks_http_1_unless_it_offers_others_only(alpn: tuple[str, ...], speaks: bool):
    hello = parse_client_hello(hello_bytes("a.test", *alpn))
    assert hello
    assert hello.speaks_http1 is speaks


def test_hello_incomplete_at_every_byte_but_the_last():
    assert [n for n in range(len(HELLO)) if parse_client_hello(HELLO[:n]) is not None] == []


def test_hello_spread_over_many_records_put_together():
    message = HELLO[5:]
    records = b"".join(b"\x16\x03\x01\x00\x07" + message[n : n + 7] for n in range(0, len(message) - 7, 7))
    rest = message[len(records) // 12 * 7 :]
    records += b"\x16\x03\x01" + len(rest).to_bytes(2, "big") + rest
    assert parse_client_hello(records) == parse_client_hello(HELLO)


@given(st.binary(max_size=80), st.integers(0, len(HELLO)))
def test_hello_of_any_bytes_read_refused_or_incomplete(data: bytes, keep: int):
    with contextlib.suppress(ValueError):
        parse_client_hello(HELLO[:keep] + data)


def test_hello_without_end_refused():
    record = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(0x4000 - 4)
    with pytest.raises(ValueError, match="too long"):
        parse_client_hello(record + (b"\x16\x03\x01\x40\x00" + bytes(0x4000)) * 5)


def shake_hands(client: TlsLayer, server: TlsLayer) -> None:
    client.start()
    for _ in range(3):
        server.receive(client.take_outgoing())
        client.receive(server.take_outgoing())
    assert client.established
    assert server.established


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_layer_both_ways_same_bytes_and_end_told(size: int):
    authority = Authority.create()
    client = TlsLayer(client_context(authority), server_side=False, server_name="a.test")
    server = TlsLayer(authority.context_for("a.test"), server_side=True)
    shake_hands(client, server)
    data = bytes(size)
    assert server.receive(client.seal(b"x" + data)) == b"x" + data
    assert client.receive(server.seal(b"y" + data) + server.end()) == b"y" + data
    assert client.ended
    assert not server.ended


def test_layer_client_that_does_not_trust_says_so_to_the_server():
    client = TlsLayer(client_context(Authority.create()), server_side=False, server_name="a.test")
    server = TlsLayer(Authority.create().context_for("a.test"), server_side=True)
    client.start()
    server.receive(client.take_outgoing())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.receive(server.take_outgoing())
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        server.receive(client.take_outgoing())


@pytest.mark.parametrize(
    ("data", "speech"),
    [
        (HELLO, Speech.TLS),
        (HELLO[:50], Speech.UNDECIDED),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", Speech.OTHER),
        (b"\x16\x02", Speech.OTHER),
        (b"GET / HTTP/1.1\r\n", Speech.HTTP),
        (b"M-SEARCH * HTTP/1.0\nA: b", Speech.HTTP),
        (b"GET / HTTP/1.1", Speech.UNDECIDED),
        (b"GE", Speech.UNDECIDED),
        (b"PRI * HTTP/2.0\r\n\r\n", Speech.HTTP2),
        (b"SSH-2.0-OpenSSH\r\n", Speech.OTHER),
        (b"EHLO me\r\n", Speech.OTHER),
        (b"\x00\x00", Speech.OTHER),
        (b"A" * 50, Speech.OTHER),
    ],
    ids=lambda value: value.name if isinstance(value, Speech) else "",
)
def test_sniff_first_bytes(data: bytes, speech: Speech):
    assert sniff(data)[0] is speech
