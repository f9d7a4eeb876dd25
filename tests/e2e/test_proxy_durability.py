"""What a client got an answer for is on record: under kill -9, on a full disk, when told to stop."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from proxy_rig import (
    TIMEOUT,
    Origin,
    Rig,
    answering,
    is_closed,
    ok,
    read_all,
    read_exactly,
    read_head,
    read_message,
    read_some,
    wait_for,
)

from fastci.config import parse_settings
from fastci.errors import ConfigurationError, TechnicalError
from fastci.node.proxy import Authority, serve
from fastci.node.store import Store

DRIVER = Path(__file__).with_name("proxy_driver.py")


@contextlib.contextmanager
def driven(folder: Path, *variables: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A proxy in its own process and its port; killed at the end if it still runs."""
    command = [sys.executable, str(DRIVER), str(folder), *variables]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def echo_path(connection: socket.socket) -> None:
    while head := read_head(connection):
        connection.sendall(ok(head.split(b" ")[1]))


def test_kill_9_while_recording_every_whole_response_is_on_record(tmp_path: Path):
    clients, each = 20, 100
    whole: list[bytes] = []

    def client(number: int, origin: Origin, port: int) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection,
        ):
            for count in range(each):
                path = b"/%d-%d" % (number, count)
                head = b"GET http://%s%s HTTP/1.1\r\nHost: x\r\n\r\n" % (origin.authority, path)
                connection.sendall(head)
                if read_message(connection) != ok(path):
                    return
                whole.append(path)

    with Origin(echo_path) as origin, driven(tmp_path) as (process, port):
        threads = [threading.Thread(target=client, args=(n, origin, port)) for n in range(clients)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(whole) >= clients * each // 2, "half of the responses")
        process.kill()
        for thread in threads:
            thread.join(TIMEOUT)
        process.wait(TIMEOUT)
    assert clients * each // 2 <= len(whole) < clients * each
    store = Store(tmp_path)
    record = store.choose()
    recorded = {b.request.target: b.response.body for b in store.baselines(record)}
    assert record.closed is None
    assert [path for path in whole if recorded.get(path) != path] == []
    assert len(recorded) <= len(whole) + clients


def test_full_disk_recording_stops_and_nothing_unrecorded_is_delivered(tmp_path: Path):
    body = os.urandom(20_000)
    whole = 0
    with Origin(answering(ok(body))) as origin, driven(tmp_path, "LIMIT=1000000") as (process, port):
        request = b"GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.authority
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
            for _ in range(1000):
                client.sendall(request)
                if read_message(client) != ok(body):
                    break
                whole += 1
        output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "error: the record rec_0001.sqlite cannot be written" in output
    assert 0 < whole < 1000
    store = Store(tmp_path)
    assert store.choose().baselines == whole


def test_last_byte_held_back_until_the_exchange_is_on_record(tmp_path: Path):
    with Origin(echo_path) as origin, Rig(tmp_path) as proxy, proxy.connect() as client:
        for count in range(1, 21):
            client.sendall(b"GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.authority)
            assert read_message(client) == ok(b"/")
            assert len(proxy.baselines()) == count


def test_stop_lets_exchanges_under_way_end_and_parts_from_the_rest(tmp_path: Path):
    go_on = threading.Event()

    def handle(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        assert go_on.wait(TIMEOUT)
        connection.sendall(b" last")
        read_all(connection)

    with Origin(handle) as origin, Rig(tmp_path) as proxy, proxy.connect() as busy, proxy.connect() as idle:
        busy.sendall(b"GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.authority)
        read_some(busy, b"first")
        stopping = threading.Thread(target=proxy.stop)
        stopping.start()
        assert is_closed(idle)
        go_on.set()
        assert read_all(busy) == b" last"
        stopping.join()
    assert len(proxy.baselines()) == 1
    assert proxy.report
    assert (proxy.report.baselines, proxy.report.connections) == (1, 2)
    assert proxy.report.last_baseline is not None


def test_stop_does_not_wait_for_what_never_ends(tmp_path: Path):
    with Origin(lambda connection: connection.sendall(ok()[:-1]) or read_all(connection)) as origin:
        with Rig(tmp_path) as proxy, proxy.connect() as client:
            client.sendall(b"GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.authority)
            read_some(client, b"hell")
            proxy.stop()
            assert is_closed(client)
        assert proxy.baselines() == []


def test_sigterm_closes_the_record_and_ends_well(tmp_path: Path):
    with (
        Origin(echo_path) as origin,
        driven(tmp_path) as (process, port),
        socket.create_connection(("127.0.0.1", port), TIMEOUT) as client,
    ):
        client.sendall(b"GET http://%s/ HTTP/1.1\r\nHost: x\r\n\r\n" % origin.authority)
        read_message(client)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    record = Store(tmp_path).choose()
    assert (record.baselines, record.closed is not None) == (1, True)


def test_port_taken_is_one_clear_error(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TechnicalError, match="cannot listen on") as raised:
            start_and_end(tmp_path, FAST_LISTEN=address)
    assert raised.value.why.lower().startswith("address already in use")


def test_hosts_that_make_no_sense_are_a_fault_of_the_configuration(tmp_path: Path):
    with pytest.raises(ConfigurationError) as raised:
        start_and_end(tmp_path, FAST_LISTEN="127.0.0.1:0", ALLOWED_HOSTS="a.*.b")
    assert raised.value.faults == [
        "ALLOWED_HOSTS='a.*.b' is not allowed: 'a.*.b': a * may only be the first or the last part of a name"
    ]


def start_and_end(folder: Path, **variables: str) -> None:
    recorder = Store(folder).create("r")

    async def main() -> None:
        stop = asyncio.Event()
        stop.set()
        settings = parse_settings(variables)
        await serve(settings, recorder, authority=Authority.create(), stop=stop, say=print)

    try:
        asyncio.run(main())
    finally:
        recorder.close()


def test_exchanges_counted_in_the_order_of_their_ends(tmp_path: Path):
    slow = threading.Event()

    def handle(connection: socket.socket) -> None:
        path = read_head(connection).split(b" ")[1]
        if path == b"/slow":
            assert slow.wait(TIMEOUT)
        connection.sendall(ok(path))

    with Origin(handle) as origin, Rig(tmp_path) as proxy, proxy.connect() as one, proxy.connect() as two:
        one.sendall(b"GET http://%s/slow HTTP/1.1\r\nHost: x\r\n\r\n" % origin.authority)
        two.sendall(b"GET http://%s/quick HTTP/1.1\r\nHost: x\r\n\r\n" % origin.authority)
        assert read_exactly(two, len(ok(b"/quick"))) == ok(b"/quick")
        slow.set()
        assert read_exactly(one, len(ok(b"/slow"))) == ok(b"/slow")
        assert [b.request.target for b in proxy.baselines()] == [b"/quick", b"/slow"]
