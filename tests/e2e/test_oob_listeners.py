"""The listeners for what a target does out of band, over real sockets."""

import asyncio
import socket
import ssl
from collections.abc import Callable

import pytest
import uvloop
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import modes
from engine_target import free_port
from oob_kit import ldap_search, look_up, outside_server, say

from fastci.config import parse_settings
from fastci.node.oob import Callback, Log, Offer, listen
from fastci.node.oob.interactsh import poll_server

TOKEN = "abcdefghijklm"


def listening(visit: Callable[[Offer, Log], object], **variables: str) -> tuple[list[str], object]:
    """Listen as these variables say while `visit` works in a thread; the lines said, and its result."""
    lines: list[str] = []
    settings = parse_settings({"FAST_OOB_LISTEN_HTTP": "127.0.0.1:0", **variables})

    async def work() -> object:
        async with listen(settings, lines.append) as (offer, log):
            return await asyncio.to_thread(visit, offer, log)

    return lines, uvloop.run(work())


def only(log: Log) -> Callback:
    (token,) = log.heard()
    assert token == TOKEN
    return log.of(token)[0]


def test_request_with_a_token_in_its_path_is_heard_and_any_other_is_not():
    def visit(offer: Offer, log: Log) -> bytes:
        address = ("127.0.0.1", offer.port)
        for path in ("/", f"/{'x' * 20}{TOKEN}", f"/{offer.word}short"):
            say(address, f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert log.heard() == []
        request = f"GET /{offer.word}{TOKEN}/a HTTP/1.1\r\nHost: h\r\nUser-Agent: tea/1\r\n\r\n"
        answer = say(address, request.encode())
        callback = only(log)
        assert (callback.kind, callback.source) == ("http", "127.0.0.1")
        assert "User-Agent: tea/1" in callback.what
        return answer

    lines, answer = listening(visit)
    assert isinstance(answer, bytes)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert any(line.startswith("[info] oob http: listening on 127.0.0.1:") for line in lines)
    assert [line for line in lines if "oob dns: not possible because no domain leads to this node" in line]


def test_line_without_an_end_is_heard_when_it_breaks_off():
    def visit(offer: Offer, log: Log) -> None:
        with socket.create_connection(("127.0.0.1", offer.port), 5) as connection:
            connection.sendall(f"GET /{offer.word}{TOKEN}\n".encode())
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)
        assert only(log).kind == "http"

    listening(visit)


def test_request_over_tls_is_heard_on_the_same_port():
    def visit(offer: Offer, log: Log) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", offer.port), 5) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(f"GET /{offer.word}{TOKEN} HTTP/1.1\r\n\r\n".encode())
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert only(log).kind == "http"

    listening(visit)


def test_client_that_refuses_the_certificate_is_heard_by_the_name_it_wants():
    def visit(offer: Offer, log: Log) -> None:
        name = f"{offer.word}{TOKEN}.oob.example"
        with (
            socket.create_connection(("127.0.0.1", offer.port), 5) as plain,
            pytest.raises(ssl.SSLError),
        ):
            ssl.create_default_context().wrap_socket(plain, server_hostname=name)
        assert only(log).kind == "http"

    listening(visit)


def test_ldap_search_is_granted_and_heard():
    def visit(offer: Offer, log: Log) -> None:
        granted = ldap_search(("127.0.0.1", offer.port), f"{offer.word}{TOKEN}/a")
        assert granted == bytes.fromhex("300c02010161070a010004000400")
        say(("127.0.0.1", offer.port), b"GET / HTTP/1.0\r\n\r\n")
        assert only(log).kind == "ldap"

    listening(visit)


@pytest.mark.parametrize("tcp", [False, True])
def test_name_below_the_domain_is_answered_with_this_node_and_heard_in_any_case(tcp: bool):
    port = free_port()

    def visit(offer: Offer, log: Log) -> None:
        name = f"x.{offer.word}{TOKEN}.OOB.Example"
        reply = look_up(name.upper(), port, tcp=tcp)
        assert [str(record.rdata) for record in reply.rr] == ["10.9.8.7"]
        assert str(reply.q.qname) == f"{name.upper()}."
        assert only(log).kind == "dns"
        assert look_up(name, port, tcp=tcp, kind="AAAA").header.rcode == 0

    lines, _ = listening(
        visit,
        FAST_OOB_DOMAIN="oob.example",
        FAST_OOB_LISTEN_DNS=f"127.0.0.1:{port}",
        FAST_OOB_ADDRESS="10.9.8.7",
    )
    assert f"[info] oob dns: listening on 127.0.0.1:{port} for names below oob.example" in lines


def test_domain_that_does_not_lead_here_is_told():
    lines: list[str] = []

    async def work() -> None:
        settings = parse_settings(
            {"FAST_OOB_DOMAIN": "oob.invalid", "FAST_OOB_LISTEN_DNS": f"127.0.0.1:{free_port()}"}
        )
        async with listen(settings, lines.append) as (_, log), asyncio.timeout(20):
            while not any("[warn] oob dns:" in line for line in lines):
                await log.wait(lambda: False, 0.02)

    uvloop.run(work())
    assert any("look-ups below oob.invalid do not come here" in line for line in lines)


def test_foreign_name_is_refused_and_garbage_unanswered():
    port = free_port()

    def visit(offer: Offer, log: Log) -> None:
        assert look_up(f"{offer.word}{TOKEN}.other.example", port).header.rcode == 5
        assert say(("127.0.0.1", port), b"\x00\x04junk") == b""
        assert log.heard() == []

    listening(visit, FAST_OOB_DOMAIN="oob.example", FAST_OOB_LISTEN_DNS=f"127.0.0.1:{port}")


def test_port_that_is_taken_is_said_and_the_address_serves_instead():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def visit(offer: Offer, log: Log) -> Offer:
            return offer

        lines, offer = listening(
            visit, FAST_OOB_DOMAIN="oob.example", FAST_OOB_LISTEN_DNS=f"127.0.0.1:{port}"
        )
    assert isinstance(offer, Offer)
    assert (offer.domain, offer.port > 0) == ("", True)
    assert any(f"oob dns: not possible because port {port} cannot be listened at" in line for line in lines)


def test_listening_switched_off_opens_nothing():
    lines, offer = listening(lambda offer, log: offer, FAST_OOB="false")
    assert lines == ["[info] oob: not possible because FAST_OOB is false"]
    assert isinstance(offer, Offer)
    assert offer.spelling("127.0.0.1", "127.0.0.1").template == ""


# an outside server


@pytest.mark.parametrize("mode", [modes.CTR, CFB], ids=["CTR", "CFB"])
def test_outside_server_tells_what_it_met_and_is_left_at_the_end(mode: type):
    async def work() -> list[Callback]:
        log = Log(word := "c" * 20)
        async with poll_server(outside.url, "", log, word, every=0.02):
            outside.meet("unknown.oast.example")
            outside.meet(f"{word}{TOKEN}.oast.example", "http")
            assert await log.wait(lambda: bool(log.of(TOKEN)), 10)
        return log.of(TOKEN)

    with outside_server(mode=mode) as outside:
        (callback,) = asyncio.run(work())
        assert (callback.kind, callback.source) == ("http", "")
        assert "203.0.113.9" in callback.what
        assert outside.gone == ["c" * 20]


def test_outside_server_that_refuses_is_said_and_nothing_else_listens():
    with outside_server(token="right") as outside:
        lines, offer = listening(
            lambda offer, log: offer, FAST_OOB_SERVER=outside.url, FAST_OOB_TOKEN="wrong"
        )
        assert isinstance(offer, Offer)
        assert (offer.domain, offer.port) == ("", 0)
        assert "the server cannot be used" in lines[0]
        assert "status 401" in lines[0]
        lines, offer = listening(
            lambda offer, log: offer, FAST_OOB_SERVER=outside.url, FAST_OOB_TOKEN="right",
            FAST_OOB_DOMAIN="oast.example",
        )  # fmt: skip
        assert isinstance(offer, Offer)
        assert offer.domain == "oast.example"
