"""Cross-site scripting shown by execution: a page opened in a headless Chromium that has no network.

The browser gets the very bytes that the target answered, under the address they came from, with the headers
that decide what may run (Content-Security-Policy). Everything else it asks for fails, so it touches neither
the target nor anybody else. It is told over a pipe (DevTools protocol), and ends when the pipe closes.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastci import results
from fastci.node.dsl import Attack
from fastci.node.engine.coding import decoded_body
from fastci.node.engine.confirm import Probe
from fastci.node.engine.screen import ECHO
from fastci.node.message import Response

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

_START_WITHIN = 20.0
_PAGE_WITHIN = 10.0
_WATCHED = 1.5
"""Seconds in which a loaded page that was used as a visitor would must have run what it was given."""

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--disable-extensions", "--mute-audio", "--remote-debugging-pipe", "--proxy-server=http://127.0.0.1:1",
    "--proxy-bypass-list=<-loopback>",
)  # fmt: skip
# These say how the message was carried, keep something for later, or lead elsewhere.
_LEFT_OUT = frozenset(
    {b"content-length", b"content-encoding", b"transfer-encoding", b"connection", b"keep-alive", b"location"}
    | {b"set-cookie", b"strict-transport-security", b"refresh"}
)
_LONGEST = 4 << 20
_TAG = re.compile(r"(<|%3C|&lt;)STR_MARKER")
# What a visitor may do: point at, choose and follow what bears the word.
_VISIT = """(word => {
  for (const element of document.querySelectorAll('*')) {
    const bears = [...element.attributes].some(a => (a.name + a.value).toLowerCase().includes(word));
    if (!bears) continue;
    for (const name of ['mouseover', 'focus']) element.dispatchEvent(new Event(name));
    if (/^(a|area|button|input|form)$/i.test(element.tagName)) {
      element.removeAttribute('target');
      element.tagName.toLowerCase() === 'form' ? element.submit() : element.click();
    }
  }
})"""


def find_browser(setting: str) -> str:
    """The program for FAST_XSS_BROWSER, empty where it is off. Raises FileNotFoundError."""
    if setting in ("", "off"):
        return ""
    found = next(filter(None, map(shutil.which, NAMES if setting == "auto" else (setting,))), None)
    if not found:
        wanted = ", ".join(NAMES) if setting == "auto" else setting
        raise FileNotFoundError(f"there is no program {wanted}")
    return found


def executing(template: str) -> list[str]:
    """Payloads that call the function STR_MARKER where that of a detect only leaves the word."""
    if _TAG.search(template):
        return [_TAG.sub(rf"\1{tag}=STR_MARKER(1)", template) for tag in ("img src=x onerror", "svg onload")]
    if "STR_MARKER=1" in template:
        return [template.replace("STR_MARKER=1", "onfocus=STR_MARKER(1) autofocus onmouseover=STR_MARKER(1)")]
    return [template if "STR_MARKER(" in template else template.replace("STR_MARKER", "STR_MARKER(1)")]


async def prove_by_execution(
    browser: "Browser", probe: Probe, attack: Attack, evidence: results.Evidence
) -> tuple[results.Evidence, results.Confidence]:
    """Have the flaw of `evidence` call a function, and see whether a browser runs it.

    The evidence with what was seen, and the confidence: firm where the page was not seen to run it. Where
    the browser itself fails nothing is changed.
    """
    if probe.point is None:
        return evidence, "confirmed"
    tried = 0
    for template in executing(attack.template):
        fresh = probe.markers.fresh()
        method = attack.method or probe.extension.methods[0]
        crafted = probe.extension.craft(probe.point, template, method, fresh, probe.markers)
        answer = await probe.by(ECHO).look(crafted, await probe.channel.send(crafted.request))
        if answer.shown is None:
            continue
        url = probe.channel.target.url(crafted.request.target if answer.shown is answer.direct else b"/")
        ran = await browser.runs(url, answer.shown.response, fresh.text)
        if ran is None:
            return evidence, "confirmed"
        tried += 1
        if ran:
            note = (
                f"executed: Chromium ran the call of {fresh.text} that the payload {crafted.payload!r} made"
            )
            return _noted(evidence, note), "confirmed"
    said = "not seen to run in Chromium" if tried else "no page shows a payload that would run"
    return _noted(evidence, said), "firm"


def _noted(evidence: results.Evidence, note: str) -> results.Evidence:
    return results.Evidence(
        payload=evidence.payload, matched=evidence.matched, attack=evidence.attack,
        confirmation=evidence.confirmation, control=evidence.control, notes=[*evidence.notes, note],
    )  # fmt: skip


class Browser:
    """One Chromium, started when a page is first opened. `say` takes console lines.

    Pages are opened one after the other. Whatever happens, `close` ends the process and all of its children.
    """

    def __init__(self, program: str, say: Callable[[str], None]) -> None:
        self._program = program
        self._say = say
        self._turn = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._hear: Callable[[str, dict[str, Any]], None] = _nothing
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.ReadTransport | None = None
        self._writer: asyncio.WriteTransport | None = None
        self._listening: asyncio.Task[None] | None = None
        self._profile = ""
        self._broken = False

    async def runs(self, url: str, response: Response, word: str) -> bool | None:
        """Whether the page calls the function `word`; None when the browser does not work."""
        async with self._turn:
            if self._broken:
                return None
            try:
                async with asyncio.timeout(_START_WITHIN):
                    await self._start()
                async with asyncio.timeout(_PAGE_WITHIN):
                    return await self._open(url, response, word)
            except (OSError, TimeoutError, ValueError) as error:
                self._broken = True
                why = str(error) or "it did not answer in time"
                self._say(f"[warn] no proof by execution: {Path(self._program).name} does not work: {why}")
                await self.close()
                return None

    async def close(self) -> None:
        """End it. May be called at any time, and again."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None
        for pipe in (self._writer, self._reader):
            if pipe is not None:
                pipe.close()
        self._writer = self._reader = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
            self._process = None
        if self._profile:
            await asyncio.to_thread(shutil.rmtree, self._profile, ignore_errors=True)
            self._profile = ""

    async def _start(self) -> None:
        if self._process is not None:
            return
        loop = asyncio.get_running_loop()
        self._profile = tempfile.mkdtemp(prefix="fast-browser-")
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # The shell puts the pipes where the browser expects them: descriptors 3 and 4.
        self._process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", f'exec "$0" "$@" 3</dev/fd/{theirs_in} 4>/dev/fd/{theirs_out}', self._program,
            *_FLAGS, f"--user-data-dir={self._profile}", "about:blank", pass_fds=(theirs_in, theirs_out),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        reader = asyncio.StreamReader(limit=16 << 20)
        protocol = asyncio.StreamReaderProtocol(reader)
        self._reader, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(ours_in, "rb", 0))
        self._writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(ours_out, "wb", 0))
        self._listening = asyncio.create_task(self._listen(reader))
        await self._call("Browser.getVersion")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        error: Exception = ConnectionError("it has ended")
        try:
            while True:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
                if "id" in message:
                    answer = self._answers.pop(message["id"], None)
                    if answer is not None and not answer.done():
                        answer.set_result(message)
                else:
                    self._hear(message.get("method", ""), message.get("params", {}))
        except EOFError:
            pass
        except (OSError, ValueError, asyncio.LimitOverrunError) as broken:
            error = ConnectionError(str(broken))
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(error)
            self._answers.clear()

    def _post(self, method: str, session: str = "", **parameters: object) -> asyncio.Future[dict[str, Any]]:
        """Tell the browser something; the future has its answer."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        # Not every answer is waited for; one that fails then is nobody's business.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._answers[number] = answer
        if self._writer is None or self._writer.is_closing():
            raise ConnectionError("it has ended")
        self._writer.write(json.dumps(message).encode() + b"\0")
        return answer

    async def _call(self, method: str, session: str = "", **parameters: object) -> dict[str, Any]:
        answer = await self._post(method, session, **parameters)
        if "error" in answer:
            raise ValueError(f"{method}: {answer['error'].get('message', '')}")
        return dict(answer.get("result", {}))

    async def _open(self, url: str, response: Response, word: str) -> bool:
        context = (await self._call("Target.createBrowserContext"))["browserContextId"]
        try:
            target = await self._call("Target.createTarget", url="about:blank", browserContextId=context)
            attached = await self._call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
            return await self._watch(attached["sessionId"], url, response, word)
        finally:
            self._hear = _nothing
            with contextlib.suppress(OSError, ValueError):
                await self._call("Target.disposeBrowserContext", browserContextId=context)

    async def _watch(self, session: str, url: str, response: Response, word: str) -> bool:
        ran, loaded = asyncio.Event(), asyncio.Event()
        served, bell = False, f"{word}_called"

        def hear(method: str, facts: dict[str, Any]) -> None:
            nonlocal served
            if method == "Runtime.bindingCalled" and facts.get("name") == bell:
                ran.set()
            elif method == "Page.loadEventFired":
                loaded.set()
            elif method == "Page.javascriptDialogOpening":
                self._post("Page.handleJavaScriptDialog", session, accept=True)
            elif method == "Fetch.requestPaused":
                if served or facts.get("resourceType") != "Document":
                    self._post(
                        "Fetch.failRequest",
                        session,
                        requestId=facts["requestId"],
                        errorReason="BlockedByClient",
                    )
                else:
                    served = True
                    self._post(
                        "Fetch.fulfillRequest", session, requestId=facts["requestId"], **_page(response)
                    )

        self._hear = hear
        await self._call("Page.enable", session)
        await self._call("Runtime.enable", session)
        await self._call("Runtime.addBinding", session, name=bell)
        # What a payload calls may be called in any way; the browser's own function wants one text.
        source = f"window.{word} = () => window.{bell}('')"
        await self._call("Page.addScriptToEvaluateOnNewDocument", session, source=source)
        await self._call("Fetch.enable", session, patterns=[{"urlPattern": "*"}])
        navigation = self._post("Page.navigate", session, url=url)
        await _first(ran, loaded, _PAGE_WITHIN / 2)
        if not ran.is_set():
            script = f"{_VISIT}({json.dumps(word)})"
            self._post("Runtime.evaluate", session, expression=script, userGesture=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ran.wait(), _WATCHED)
        navigation.cancel()
        return ran.is_set()


async def _first(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    tasks = [asyncio.create_task(event.wait()) for event in (one, other)]
    await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _page(response: Response) -> dict[str, object]:
    """A response as the browser is given it: what was answered, without how it was carried."""
    headers = [
        {"name": field.name.decode("latin-1"), "value": field.value.decode("latin-1")}
        for field in response.fields
        if field.name.lower() not in _LEFT_OUT
    ]
    return {
        "responseCode": response.status if 200 <= response.status < 600 and response.status != 204 else 200,
        "responseHeaders": headers,
        "body": base64.b64encode(decoded_body(response)[:_LONGEST]).decode(),
    }


def _nothing(method: str, facts: dict[str, Any]) -> None:
    """Nobody listens for events between two pages."""
