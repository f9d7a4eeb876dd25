"""A Chromium for tests, driven over its debugging pipe: no driver program and no port are needed."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time

from fastci.reports import REPORTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-pipe"
)


class Browser:
    """A running Chromium, spoken to in JSON messages that end with a zero byte (DevTools protocol)."""

    def __init__(self, profile):
        assert CHROMIUM, "FAST_REQUIRE_CHROMIUM=1, but there is no Chromium"
        (to_child, self._write), (self._read, from_child) = _high_pipe(), _high_pipe()

        def hand_over():
            os.dup2(to_child, 3, inheritable=True)
            os.dup2(from_child, 4, inheritable=True)

        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS.split(), f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=hand_over, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_child)
        os.close(from_child)
        self._buffer = b""
        self._number = 0
        self.events = []

    def _receive(self, deadline):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "Chromium did not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium ended"
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(
            self._write, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        )
        deadline = time.monotonic() + 60
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method, **facts):
        deadline = time.monotonic() + 60
        while not any(e["method"] == method and facts.items() <= e["params"].items() for e in self.events):
            self.events.append(self._receive(deadline))

    def close(self):
        self.call("Browser.close")
        self._process.wait(30)
        os.close(self._write)
        os.close(self._read)


def _high_pipe():
    """A pipe whose ends are no standard or debugging descriptor; only what is handed over is inherited."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 30))
        os.close(end)
    return ends


class Page:
    """One tab with a report in it."""

    def __init__(self, browser, folder):
        self.browser = browser
        self.folder = folder
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.size(1280, 900)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def size(self, width, height, scheme="light"):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, run, anchor=""):
        path = self.folder / "report.html"
        path.write_text(REPORTS["html"].render(run), encoding="utf-8")
        self.visit(path.as_uri() + anchor)

    def visit(self, url):
        """Go there and wait for the page to be loaded."""
        self.call("Page.bringToFront")
        self.browser.events.clear()
        loader = self.call("Page.navigate", url=url)["loaderId"]
        self.browser.wait_for("Page.lifecycleEvent", name="load", loaderId=loader)

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)

    def run(self, script):
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition):
        assert self.run(f"""(async () => {{
          for (let round = 0; round < 1000; round += 1) {{
            if ({condition}) return true;
            await new Promise((done) => setTimeout(done, 10));
          }}
          return false;
        }})()"""), f"did not come about: {condition}"

    def show(self, finding):
        """Open a finding as a click does, and wait for its evidence."""
        self.run(f"document.querySelector('{finding} > summary').click()")
        self.until(f"document.querySelector('{finding} .evidence').childElementCount === 2")

    def choose(self, selector, value, event):
        """Give a field a value as a person does."""
        self.run(f"""(() => {{
          const field = document.querySelector({json.dumps(selector)});
          field.value = {json.dumps(value)};
          field.dispatchEvent(new Event({json.dumps(event)}));
        }})()""")

    def view(self, message, name):
        """Choose what a message of the evidence shows."""
        buttons = f"[...document.querySelectorAll({json.dumps(message + ' .views button')})]"
        self.run(f"{buttons}.find((one) => one.textContent === {json.dumps(name)}).click()")

    def press(self, key, text=""):
        code = {"Enter": 13, "Tab": 9, "Escape": 27}.get(key, ord(key[0].upper()))
        for kind in ("keyDown", "keyUp"):
            words = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **words)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def faults(self):
        """What the page complained about, asked for, or tried: empty for a report that only shows."""
        self.run("1")
        seen = []
        for event in self.browser.events:
            method, facts = event["method"], event.get("params", {})
            if method in ("Runtime.exceptionThrown", "Page.javascriptDialogOpening", "Log.entryAdded"):
                seen.append(f"{method}: {json.dumps(facts)[:300]}")
            elif method == "Runtime.consoleAPICalled":
                seen.append(f"console: {facts['args']}")
            elif method == "Network.requestWillBeSent":
                url = facts["request"]["url"]
                if not url.startswith((self.folder.as_uri() + "/report.html", "data:image/svg+xml,")):
                    seen.append(f"request: {url}")
        return seen
