"""A real browser, and a tab of it with a page from the disk, what the page said, and what it asked for."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
# Chromium draws with the CPU where there is no graphics card.
OPTIONS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Context with a headless browser. Skips the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        yield started
        started.close()


@contextlib.contextmanager
def opened(path: Path, width: int = 960, height: int = 720) -> Iterator[Any]:
    """Context with the page. In the end it must have said nothing, and asked for nothing but itself."""
    said, asked = [], []
    with browser() as started:
        page = started.new_page(viewport={"width": width, "height": height})
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        yield page
    assert not said, said
    assert asked[0] == path.as_uri() and {url.partition(":")[0] for url in asked[1:]} <= {"blob", "data", "about"}


def wait_until(page: Any, condition: str, seconds: float) -> None:
    """Asks again and again from outside: a page's own policy forbids what `wait_for_function` evaluates in it."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        page.wait_for_timeout(100)
