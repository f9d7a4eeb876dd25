import os
import signal
import time

import pytest

from fastci.errors import ExitStatus, Interrupted
from fastci.lifecycle.interrupts import HURRIED, REPEATED, Signals


def test_signal_noted_raises_at_next_check_only():
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.interrupted
        with pytest.raises(Interrupted, match="SIGTERM") as caught:
            signals.check()
    assert caught.value.status is ExitStatus.INTERRUPTED


def test_signal_during_hold_raises_nothing_and_shortens_grace():
    with Signals() as signals:
        signals.hold()
        assert signals.grace(20) == 20
        signal.raise_signal(signal.SIGINT)
        signals.pause(0)
        assert signals.grace(20) == HURRIED
        assert signals.interrupted


def test_signal_during_pause_ends_it_early():
    with Signals() as signals:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        previous = signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
        since = time.monotonic()
        try:
            with pytest.raises(Interrupted):
                signals.pause(30)
        finally:
            signal.signal(signal.SIGALRM, previous)
        assert time.monotonic() - since < 10


def test_second_signal_at_once_is_the_same_wish():
    with Signals() as signals:
        signals.hold()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert signals.grace(20) == HURRIED


def test_second_signal_later_leaves_next_to_no_grace(monkeypatch):
    moment = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    with Signals() as signals:
        signals.hold()
        signal.raise_signal(signal.SIGINT)
        moment[0] += REPEATED + 0.1
        signal.raise_signal(signal.SIGTERM)
        assert signals.grace(20) < 1


def test_handlers_after_leaving_are_the_ones_before():
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Signals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_hangup_ignored_before_stays_ignored():
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.interrupted
    finally:
        signal.signal(signal.SIGHUP, previous)
