"""Chromium, driven by Playwright in a thread of its own.

Its synchronous interface keeps an asyncio loop running in the thread where it was started. In the thread of the tests
that would be in the way of other loops, so a test of the page runs in the thread of the browser as a whole.
"""

from __future__ import annotations

import gc
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.patience import PATIENCE_S
from tests.processes import NodeProcess, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright

EXECUTABLES = ("chromium-headless-shell", "chromium")
"""The first that is installed is taken. The one without windows shows a page for a third of the processor time."""

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)

ALL = os.environ.get("COMANDA_VIEWS") == "all"
"""Whether walks over the page's views meet every pair of what they walk over."""

WIDTHS = (390, 800, 1280)
HEIGHT = 860
PATIENCE_MS = 1_000 * PATIENCE_S

LATE_MS = int(os.environ.get("COMANDA_LATE_MS", "0"))
"""How late answers and messages reach a page at most, each by chance: a page must not depend on which comes first."""

LATE = """(() => {
    const late = () => new Promise((go) => setTimeout(go, Math.random() ** 3 * MOST_MS));
    const asks = window.fetch;
    window.fetch = async (...asked) => {
        await late();
        try { return await asks(...asked); } finally { await late(); }
    };
    for (const name of ["open", "message", "close", "error"]) {
        const listener = Symbol(name);
        Object.defineProperty(WebSocket.prototype, `on${name}`, {
            get() { return this[listener] ?? null; },
            set(given) {
                if (!(listener in this)) {
                    this.addEventListener(name, (event) => {   // in order, as a connection has it
                        (this.heard ??= []).push(() => this[listener]?.(event));
                        this.due = Math.max(this.due ?? 0, performance.now() + Math.random() ** 3 * MOST_MS);
                        setTimeout(() => this.heard.shift()(), this.due - performance.now());
                    });
                }
                this[listener] = given;
            },
        });
    }
})()"""

EXPECTED = ("Failed to load resource", "WebSocket connection to")
"""What the browser itself notes of a refusal or of lost contact. Any other error on the console fails the test."""


class Chromium:
    """One browser for all tests of a session."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "chromium")
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def do(self, work: Callable[[], object]) -> None:
        """In the thread of the browser. What other tests left is not collected there: y-py's documents may not be."""
        gc.disable()
        try:
            self._thread.submit(work).result()
        finally:
            gc.enable()

    def start(self) -> None:
        executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
        if executable is None:
            missing(f"the page's tests need Chromium: apt-get install {' or '.join(EXECUTABLES)}")
        try:
            from playwright.sync_api import expect, sync_playwright
        except ImportError:
            missing("the page's tests need Playwright: pip install -e '.[test]'")
        expect.set_options(timeout=PATIENCE_MS)
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=executable, args=[*FLAGS])

    def stop(self) -> None:
        if self._browser is not None:
            self._browser.close()
        if self._playwright is not None:
            self._playwright.stop()

    def end(self) -> None:
        self.do(self.stop)
        self._thread.shutdown()

    def context(self, width: int, language: str, theme: str) -> BrowserContext:
        assert self._browser is not None
        context = self._browser.new_context(
            viewport={"width": width, "height": HEIGHT},
            locale=language,
            color_scheme=theme,  # type: ignore[arg-type]
            timezone_id="America/Sao_Paulo",
            has_touch=width < 720,
            reduced_motion="reduce",  # drawn without a graphics card, movement costs as long as a test waits
            ignore_https_errors=True,  # of an authority that is the node's own
        )
        context.set_default_timeout(PATIENCE_MS)
        if LATE_MS:
            context.add_init_script(LATE.replace("MOST_MS", str(LATE_MS)))
        return context


class Pages:
    """The pages of one test, each with a session of its own, as on as many devices."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self.errors: list[str] = []
        self.expected: tuple[str, ...] = EXPECTED

    def __call__(
        self,
        node: NodeProcess,
        route: str = "#/conflitos",
        *,
        width: int = 1280,
        language: str = "pt-BR",
        theme: str = "light",
        **session: str,
    ) -> Page:
        """The page of a node at a route, once it is in contact.

        session: `name`, `user`, `token`, `type`, as the address's fragment may say them.
        """
        context = self._chromium.context(width, language, theme)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        address = node.url.replace("ws", "http", 1)
        if session:
            page.goto(f"{address}/#{urlencode(session)}")
            page.wait_for_url("**/#/conflitos")  # the fragment is consumed
            page.evaluate("route => { location.hash = route }", route)
        else:
            page.goto(f"{address}/{route}")
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(self.expected):
            self.errors.append(message.text)

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def focused(page: Page) -> dict[str, Any]:
    """What has the focus: its tag, id, text and accessible name as far as it is said by an attribute."""
    found: dict[str, Any] = page.evaluate(
        """() => {
            const { tagName, id, innerText, value } = document.activeElement;
            const label = document.activeElement.getAttribute('aria-label');
            return { tag: tagName.toLowerCase(), id, text: innerText, value, label };
        }"""
    )
    return found


def tab_to(page: Page, wanted: str, most: int = 80) -> None:
    """Press Tab until an element that matches the selector has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
    raise AssertionError(f"Tab does not lead to {wanted}: the focus is at {focused(page)}")
