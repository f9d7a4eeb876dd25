import os

from lifecycle_fakes import FakeWaiter

from fastci.lifecycle.sessions import identity, is_alive, members, one_at_a_time, pid_of


def test_identity_of_a_living_process_is_alive():
    who = identity(os.getpid())
    assert pid_of(who) == os.getpid()
    assert is_alive(who) is True


def test_identity_with_another_start_time_is_a_process_that_died():
    boot, space, pid, start = identity(os.getpid()).split("/")
    assert is_alive(f"{boot}/{space}/{pid}/{int(start) - 1}") is False


def test_identity_of_a_pid_that_is_not_there_is_dead():
    boot, space, _, start = identity(os.getpid()).split("/")
    assert identity(2**22 + 1) == ""
    assert is_alive(f"{boot}/{space}/{2**22 + 1}/{start}") is False


def test_identity_from_elsewhere_cannot_be_judged():
    boot, space, pid, start = identity(os.getpid()).split("/")
    for who in ("", "nonsense", f"other-boot/{space}/{pid}/{start}", f"{boot}/1/{pid}/{start}"):
        assert is_alive(who) is None


def test_members_of_our_session_include_us():
    assert os.getpid() in members(os.getsid(0))


def test_lock_that_is_held_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    waiter = FakeWaiter()
    order = []
    with one_at_a_time("x", FakeWaiter()) as _:
        inside = one_at_a_time("x", waiter)

        def give_up():
            order.append("waited")
            raise TimeoutError

        waiter.on_pause = give_up
        try:
            inside.__enter__()
        except TimeoutError:
            order.append("not entered")
    assert order == ["waited", "not entered"]
    with one_at_a_time("x", waiter):
        order.append("entered")
    assert order[-1] == "entered"
