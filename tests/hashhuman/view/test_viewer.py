"""The viewer in a real browser: it loads, turns, plays, bends a joint, records, and asks nothing of anybody else."""

import re
import time
from collections.abc import Iterator

import cv2
import imageio.v3 as iio
import numpy as np
import pytest

from hashhuman.view.viewer import Viewer
from tests.hashhuman.browser import browser
from tests.hashhuman.view.conftest import progressive

pytest.importorskip("viser")

COUNT_MOVES = """() => {
    window.moves = 0;
    const count = (changes) => {
        window.moves += changes.filter((c) => c.target.textContent.endsWith("the mesh, while something moves")).length;
    };
    new MutationObserver(count).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


@pytest.fixture
def address(subject, mesh) -> Iterator[str]:
    """Where the toy is shown."""
    with Viewer("127.0.0.1", 0, [], progressive()).serving(subject, mesh) as address:
        yield address


class Tab:
    """A browser tab, what it said, and what it asked for."""

    def __init__(self, page, address: str) -> None:
        self.page, self.said, self.asked = page, [], []
        page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", lambda socket: self.asked.append(socket.url))
        page.goto(address)
        page.evaluate(COUNT_MOVES)
        self.moves = 0

    def wait_for_a_move(self, seconds: float = 60) -> None:
        """Until the mesh has been shown again. That may be over before anybody looks, so the page counts."""
        deadline = time.monotonic() + seconds
        while (moves := self.page.evaluate("window.moves")) == self.moves:
            assert time.monotonic() < deadline, "the mesh was not shown"
            self.page.wait_for_timeout(50)
        self.moves = moves

    def wait_for(self, text: str, seconds: float = 60) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=1000 * seconds)

    def canvas(self) -> np.ndarray:
        """The left half, where no control is."""
        picture = cv2.imdecode(np.frombuffer(self.page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
        return picture[200:, : picture.shape[1] // 2].astype(int)

    def drag(self) -> None:
        self.page.mouse.move(100, 300)
        self.page.mouse.down()
        self.page.mouse.move(180, 300, steps=4)

    def fill(self, label: str, value: str) -> None:
        """Types a number beside a slider, again if the page is drawn anew meanwhile and forgets it."""
        name = self.page.locator("label", has_text=re.compile(f"^{label}$")).get_attribute("for")
        box = self.page.locator(f"//*[@id='{name}']/following::input[not(@type='hidden')][1]")
        for _ in range(20):
            box.fill(value)
            self.page.keyboard.press("Enter")
            self.page.wait_for_timeout(500)
            if box.input_value() == value:
                return
        raise AssertionError(f"{label} stays {box.input_value()}")

    def still(self) -> np.ndarray:
        """The canvas, once the field is shown in full."""
        self.wait_for("the field, 96 x 72")
        self.page.wait_for_timeout(300)
        self.moves = self.page.evaluate("window.moves")
        return self.canvas()


def changed(a: np.ndarray, b: np.ndarray) -> float:
    """The share of the pixels that differ."""
    return float((np.abs(a - b).max(-1) > 24).mean())


@pytest.mark.slow
def test_in_a_browser(address, subject):
    with browser() as started:
        tab = Tab(started.new_page(viewport={"width": 960, "height": 720}), address)
        page = tab.page
        first = tab.still()
        assert len(np.unique(first.reshape(-1, 3), axis=0)) > 20  # the toy, not paper alone

        tab.drag()
        tab.wait_for_a_move()
        assert changed(first, tab.canvas()) > 0.01
        page.mouse.up()
        turned = tab.still()
        assert changed(first, turned) > 0.01

        page.get_by_text("Joint", exact=True).click()
        page.get_by_label("joint", exact=True).click()
        page.get_by_role("option", name="pelvis", exact=True).click()
        tab.fill("turn y", "70")
        tab.wait_for_a_move()
        assert changed(turned, tab.still()) > 0.003

        page.get_by_label("play", exact=True).check()
        tab.wait_for_a_move()
        poses = []
        for _ in range(4):
            page.wait_for_timeout(150)
            poses.append(tab.canvas())
        assert max(changed(poses[0], other) for other in poses[1:]) > 0.003
        page.get_by_label("play", exact=True).uncheck()
        tab.still()

        page.get_by_role("button", name="all as in the motion").click()
        page.get_by_role("button", name="to the filming camera").click()
        page.get_by_label("filmed picture").check()
        page.locator("img").last.wait_for(timeout=30000)

        page.get_by_text("Camera path", exact=True).click()
        page.get_by_text("no view: a full turn").wait_for(timeout=10000)
        page.get_by_label("with the motion").check()
        tab.fill("seconds", "0.5")
        tab.fill("height", "64")
        page.wait_for_timeout(2000)  # viser sends sliders later than buttons
        with page.expect_download(timeout=60000) as saved:
            page.get_by_role("button", name="record", exact=True).click()
        video = iio.imread(saved.value.path(), plugin="pyav")
    assert video.shape[0] == 15 and video.shape[1] == 64
    assert np.abs(video[0].astype(int) - video[7]).max() > 60
    assert [path.name for path in subject.folder.iterdir()] == ["path_1.mp4"]
    assert not tab.said, tab.said
    place = address.removeprefix("http://")
    foreign = [url for url in tab.asked if url.partition("://")[2].partition("/")[0] != place and ":" in url]
    assert {url.partition(":")[0] for url in foreign} <= {"blob", "data"}, foreign
