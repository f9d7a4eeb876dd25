"""How far a run is: a bar on a terminal, whole lines in the log of a CI."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading

from jobs import PATIENCE, sending, until

FACTS = r"\d+ requests, [\d.]+ requests/s now, [\d.]+ on average, (time left unknown|[\d a-z]+ left)"
SETTINGS = {"FAST_PROGRESS_EVERY": "1", "FAST_SKIP_DUPLICATES": "false", "WORKERS": "1"}
PAGES = 4


def words_of(target) -> list[str]:
    urls = [f"{target.url}/safe?q=tea&z{n}=1" for n in range(PAGES)]
    return ["run", "--target-uri", target.url, "--", *sending(*urls)]


def hold_while(target, shown) -> None:
    """Keep the target from answering its second test request until something is shown."""
    until(lambda: len(target.requests) > PAGES + 1, "the first test requests")
    target.open.clear()
    try:
        until(shown, "a word of how far it is")
    finally:
        target.open.set()


class Terminal:
    """A pseudo-terminal of 160 columns; `text` is all that was written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self._chunks: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._ours, 65536):
                self._chunks.append(chunk)
        except OSError:
            pass  # the other end is closed: on Linux an error, elsewhere the end

    @property
    def text(self) -> str:
        return b"".join(self._chunks).decode()

    def close(self) -> None:
        os.close(self.theirs)
        self._reader.join(PATIENCE)
        os.close(self._ours)


def test_terminal_gets_a_bar_that_is_drawn_over_and_gone_at_the_end(fastci, target):
    terminal = Terminal()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastci", *words_of(target)],
        cwd=fastci.folder, env={**fastci.environ, **SETTINGS, "TERM": "xterm"},
        stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs, start_new_session=True,
    )  # fmt: skip
    try:
        hold_while(target, lambda: terminal.text.count("╌") > 24)
        assert process.wait(PATIENCE) == 0, terminal.text
    finally:
        process.kill()
        process.wait(PATIENCE)
        terminal.close()
    bars = re.findall(rf"\r\x1b\[2K +[━╌]{{24}} +\d+% \d/{PAGES}, {FACTS}", terminal.text)
    assert bars, terminal.text
    assert "Progress:" not in terminal.text
    # Whatever was drawn last is wiped before the next line is written.
    assert re.search(rf"[━╌] +\d+% \d/{PAGES}[^\r\n]*\r\x1b\[2K[^━╌]*\Z", terminal.text), terminal.text


def test_log_of_a_ci_gets_whole_lines(fastci, target):
    started = fastci.start(*words_of(target), **SETTINGS)
    hold_while(target, lambda: started.text().count("Progress:") > 1)
    done = started.wait()
    assert done.status == 0, done
    lines = [line for line in done.text.splitlines() if "Progress:" in line]
    pattern = rf" *\[info\] Progress: \d of {PAGES} baselines, {FACTS}"
    assert [line for line in lines if not re.fullmatch(pattern, line)] == []
    assert not set(done.text) & set("\r\x1b━╌")
