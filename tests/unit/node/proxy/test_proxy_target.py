import asyncio
from typing import Any, cast

from fastci.node.proxy.target import Target

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wire(asyncio.Transport):
    """A transport that keeps what is written and whether reading goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        self.ended = True


class Listener:
    """Notes what a target tells its user."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *words: self.told.append((name, *words))


async def opened() -> tuple[Target, Wire, Any]:
    target, wire = Target(asyncio.get_running_loop()), Wire()
    target.connection_made(wire)
    return target, wire, cast(Any, Listener())


def test_target_that_spoke_before_it_was_asked_is_heard_as_the_answer():
    async def talk() -> None:
        target, wire, user = await opened()
        target.data_received(ANSWER)
        assert not wire.reading
        target.begin(user, b"GET", 10, b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0)
        assert user.told == [("on_finished", ANSWER)]
        assert wire.reading

    asyncio.run(talk())


def test_target_that_spoke_before_it_had_a_user_heard_by_the_first_one():
    async def talk() -> None:
        target, wire, user = await opened()
        target.data_received(b"220 ready\r\n")
        target.attach(user)
        await asyncio.sleep(0)
        target.data_received(b"more")
        assert user.told == [("on_raw", b"220 ready\r\n"), ("on_raw", b"more")]
        assert wire.reading

    asyncio.run(talk())


def test_target_idle_that_speaks_is_for_nobody_else():
    async def talk() -> None:
        target, wire, user = await opened()
        target.begin(user, b"GET", 10, b"")
        target.data_received(ANSWER)
        assert target.reusable
        assert target.shareable
        target.data_received(b"surplus")
        assert not target.shareable
        assert user.told == [("on_finished", ANSWER), ("on_unasked", b"surplus")]
        target.detach()
        target.data_received(b"more")
        assert wire.ended

    asyncio.run(talk())


def test_target_lost_before_its_answer_tells_why():
    async def talk() -> None:
        target, _, user = await opened()
        target.begin(user, b"GET", 10, b"")
        target.data_received(ANSWER[:10])
        target.connection_lost(ConnectionResetError(104, "whatever the loop says"))
        ((name, reason),) = user.told
        assert name == "on_failed"
        assert "Connection reset by peer" in reason

    asyncio.run(talk())
