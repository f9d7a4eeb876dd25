from fastci.errors import ExitStatus, Interrupted, TechnicalError, UsageError


def test_exit_status_simple_tells_only_pass_from_the_rest():
    assert [status.simple() for status in ExitStatus] == [0, 1, 1, 1, 1]


def test_error_lines_say_what_why_and_what_to_do():
    error = TechnicalError("the port is taken", why="8080 is in use", hint="choose another with FAST_PORT")
    assert error.lines() == [
        "error: the port is taken",
        "  why: 8080 is in use",
        "  to do: choose another with FAST_PORT",
    ]


def test_error_classes_end_with_documented_statuses():
    assert [e.status for e in (UsageError, TechnicalError, Interrupted)] == [2, 3, 4]
