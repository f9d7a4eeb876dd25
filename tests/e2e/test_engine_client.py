"""The wire client against real sockets that behave and misbehave."""

import asyncio
import datetime
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from engine_target import free_port, raw_server

from fastci.node.engine.channel import Channel
from fastci.node.engine.client import NoAnswer, WireClient
from fastci.node.engine.dial import Unreachable
from fastci.node.engine.scope import Scope, Target
from fastci.node.engine.sender import Sender
from fastci.node.engine.sessions import Sessions
from fastci.node.engine.wire import NotHttp
from fastci.node.message import Origin, Request, Response

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def run(work: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(work, 30))


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def answering(*answers: bytes, close: bool = False):
    """A connection that gives these answers in turn, the last one for ever (or closes after them)."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while not close or count < len(answers):
            await read_head(reader)
            writer.write(answers[min(count, len(answers) - 1)])
            await writer.drain()
            count += 1

    return talk


def test_client_sends_any_bytes_unchanged():
    request = b"G\xffT /\x01\xfe?a=\x80 HTTP/1.1\r\nX y: \x00\r\n\r\n"
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_head(reader))
        writer.write(OK)

    async def work() -> None:
        async with raw_server(talk) as origin:
            response, elapsed = await WireClient().send(origin, request, method=b"G\xffT", timeout=5)
            assert response.status == 200
            assert response.body == b"ok"
            assert 0 < elapsed < 5

    run(work())
    assert seen == [request]


def test_client_reuses_a_connection():
    async def work() -> None:
        client = WireClient()
        async with raw_server(answering(OK)) as origin:
            for _ in range(5):
                await client.send(origin, GET, method=b"GET", timeout=5)
            assert client.opened == 1
            await client.send(origin, GET, method=b"GET", timeout=5, alone=True)
            assert client.opened == 2
            client.close()

    run(work())


def test_client_keeps_at_most_the_allowed_idle_connections():
    async def work() -> None:
        client = WireClient(idle_limit=2)
        async with raw_server(answering(OK)) as origin:
            for _ in range(2):
                sends = [client.send(origin, GET, method=b"GET", timeout=5) for _ in range(6)]
                await asyncio.gather(*sends)
            assert client.opened == 6 + 4
            client.close()

    run(work())


def test_client_replaces_a_kept_connection_that_died():
    async def work() -> None:
        client = WireClient()
        async with raw_server(answering(OK, close=True)) as origin:
            for _ in range(3):
                response, _ = await client.send(origin, GET, method=b"GET", timeout=5)
                assert response.body == b"ok"
            assert client.opened == 3

    run(work())


def test_client_does_not_send_again_where_a_new_connection_dies():
    requests: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_head(reader))

    async def work() -> None:
        async with raw_server(talk) as origin:
            with pytest.raises(NoAnswer):
                await WireClient().send(origin, GET, method=b"GET", timeout=5)

    run(work())
    assert len(requests) == 1


def test_client_does_not_take_an_unasked_answer_for_the_next_one():
    async def work() -> None:
        told = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_head(reader)
            writer.write(OK)
            await told.wait()
            writer.write(OK.replace(b"ok", b"no"))
            told.clear()
            await read_head(reader)

        client = WireClient()
        async with raw_server(talk) as origin:
            await client.send(origin, GET, method=b"GET", timeout=5)
            told.set()
            idle = client.line(origin)._idle[0]
            while idle.alive:
                await asyncio.sleep(0.01)
            task = asyncio.create_task(client.send(origin, GET, method=b"GET", timeout=5))
            response, _ = await task
            assert response.body == b"ok"
            assert client.opened == 2

    run(work())


def test_refused_connection_is_unreachable():
    async def work() -> None:
        origin = Origin(scheme="http", host="127.0.0.1", port=free_port())
        with pytest.raises(Unreachable, match=str(origin.port)):
            await WireClient().send(origin, GET, method=b"GET", timeout=5)

    run(work())


def test_silent_target_times_out():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def work() -> None:
        begin = asyncio.get_running_loop().time()
        async with raw_server(talk) as origin:
            with pytest.raises(TimeoutError):
                await WireClient().send(origin, GET, method=b"GET", timeout=0.3)
        assert asyncio.get_running_loop().time() - begin < 2

    run(work())


def test_target_that_trickles_is_cut_at_the_deadline():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def work() -> None:
        async with raw_server(talk) as origin:
            response, elapsed = await WireClient().send(origin, GET, method=b"GET", timeout=0.4)
            assert 0.3 < elapsed < 2
            assert 1 <= len(response.body) < 100
            assert set(response.body) == {ord("x")}

    run(work())


def test_endless_body_is_cut_at_the_limit():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"y" * 65536)
            await writer.drain()

    async def work() -> None:
        client = WireClient(body_limit=200_000)
        async with raw_server(talk) as origin:
            response, _ = await client.send(origin, GET, method=b"GET", timeout=20)
            assert len(response.body) == 200_000
            assert not client.line(origin)._idle

    run(work())


def test_wrong_content_length_gives_what_came():
    async def work() -> None:
        for said in (1, 50):
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nhello" % said
            async with raw_server(answering(answer, close=True)) as origin:
                response, _ = await WireClient().send(origin, GET, method=b"GET", timeout=5)
                assert response.body == b"hello"

    run(work())


def test_answer_that_is_not_http_is_an_error():
    async def work() -> None:
        async with raw_server(answering(b"220 mail ready\r\n")) as origin:
            with pytest.raises(NotHttp):
                await WireClient().send(origin, GET, method=b"GET", timeout=5)

    run(work())


def test_cancelled_request_closes_its_connection():
    closed: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        closed.append(await reader.read())

    async def work() -> None:
        async with raw_server(talk) as origin:
            client = WireClient()
            task = asyncio.create_task(client.send(origin, GET, method=b"GET", timeout=30))
            while not client.opened:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not closed:
                await asyncio.sleep(0.01)

    run(work())


def test_tls_target_with_a_certificate_nobody_signed_is_spoken_to_and_told_its_name(tmp_path: Path):
    context, names = server_context(tmp_path), []
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def work() -> None:
        client = WireClient()
        async with raw_server(answering(OK), ssl=context) as origin:
            named = Origin(scheme="https", host="localhost", port=origin.port)
            for _ in range(2):
                response, _ = await client.send(named, GET, method=b"GET", timeout=5)
                assert response.body == b"ok"
            client.close()

    run(work())
    assert names == ["localhost"]


def test_plain_target_on_a_tls_origin_is_unreachable():
    async def work() -> None:
        async with raw_server(answering(OK)) as origin:
            secure = Origin(scheme="https", host="127.0.0.1", port=origin.port)
            with pytest.raises(Unreachable):
                await WireClient(connect_timeout=1).send(secure, GET, method=b"GET", timeout=5)

    run(work())


def server_context(folder: Path, *, days: int = -1) -> ssl.SSLContext:
    """With a certificate that nobody signed, good until `days` from now; `server.pem` holds its key too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def channel_to(client: WireClient, origin: Origin, sent: list[bytes] | None = None) -> Channel:
    """`sent` gets the target of each request that went out."""
    target = Target(recorded=origin, origin=origin, base=b"")

    def note(by: str, request: Request, status: int) -> None:
        if sent is not None:
            sent.append(request.target)

    return Channel(Sender(client, rate=0), target, Sessions(Scope.parse("", ())), timeout=5, on_sent=note)


async def bodies_of_a_series(client: WireClient, origin: Origin, count: int) -> list[bytes]:
    """What a series of that many requests is answered with."""
    answers: list[Response] = []
    sent: list[bytes] = []
    channel = channel_to(client, origin, sent)

    def following(answer: Response) -> Request | None:
        answers.append(answer)
        return Request(method=b"GET", target=b"/%d" % len(answers)) if len(answers) < count else None

    last = await channel.send(Request(method=b"GET", target=b"/0"), following=following)
    assert last.response is answers[-1]
    assert last.sent.split()[1] == b"/%d" % (count - 1)
    assert sent == [b"/%d" % number for number in range(count)]
    assert channel.sent == count
    return [answer.body for answer in answers]


def test_series_goes_on_over_another_connection_where_the_target_closes_one():
    async def work() -> None:
        client = WireClient()
        async with raw_server(answering(OK, OK, OK, close=True)) as origin:
            assert await bodies_of_a_series(client, origin, 9) == [b"ok"] * 9
            assert client.opened == 3
            client.close()

    run(work())


def test_series_says_nothing_more_where_the_target_has_said_farewell():
    more: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        more.append(await reader.read())

    async def work() -> None:
        client = WireClient()
        async with raw_server(talk) as origin:
            assert await bodies_of_a_series(client, origin, 3) == [b"ok"] * 3
            client.close()

    run(work())
    assert more == [b""] * 3


def test_series_goes_over_one_connection_and_asks_again_what_was_refused():
    busy = OK.replace(b"200 OK", b"503 Busy")

    async def work() -> None:
        client = WireClient()
        async with raw_server(answering(OK, busy, OK)) as origin:
            channel = channel_to(client, origin)
            replies: list[int] = []

            def following(answer: Response) -> Request | None:
                replies.append(answer.status)
                return Request(method=b"GET", target=b"/") if len(replies) < 4 else None

            await channel.send(Request(method=b"GET", target=b"/"), following=following)
            assert replies == [200] * 4
            assert (channel.sent, client.opened) == (5, 1)
            client.close()

    run(work())


def test_series_gives_a_connection_of_its_own_to_what_may_be_more_than_one_request():
    async def work() -> None:
        client = WireClient()
        async with raw_server(answering(OK)) as origin:
            requests = iter([b"/ HTTP/1.1\r\nX: 1\n", b"/"])

            def following(answer: Response) -> Request | None:
                target = next(requests, None)
                return Request(method=b"GET", target=target) if target else None

            channel = channel_to(client, origin)
            await channel.send(Request(method=b"GET", target=b"/"), following=following)
            assert (channel.sent, client.opened) == (3, 2)
            client.close()

    run(work())


def test_series_ends_with_what_goes_wrong_in_making_the_next_request():
    async def work() -> None:
        client = WireClient()

        def following(answer: Response) -> Request | None:
            raise ValueError("no more of these")

        async with raw_server(answering(OK)) as origin:
            channel = channel_to(client, origin)
            with pytest.raises(ValueError, match="no more of these"):
                await channel.send(Request(method=b"GET", target=b"/"), following=following)
            await channel.send(Request(method=b"GET", target=b"/"))
            assert (channel.sent, client.opened) == (2, 1)
            client.close()

    run(work())


def test_what_goes_wrong_with_an_answer_is_raised_and_leaves_room_for_others():
    async def work() -> None:
        client = WireClient()

        def on_sent(by: str, request: Request, status: int) -> None:
            raise OSError("no room on the disk")

        async with raw_server(answering(OK)) as origin:
            target = Target(recorded=origin, origin=origin, base=b"")
            sender = Sender(client, rate=0)
            channel = Channel(sender, target, Sessions(Scope.parse("", ())), on_sent=on_sent)
            with pytest.raises(OSError, match="no room on the disk"):
                await channel.send(Request(method=b"GET", target=b"/"))
            assert sender.health(origin).strain.under_way == 0
            client.close()

    run(work())
