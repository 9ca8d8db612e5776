"""The page, opened in a real browser: it loads, plays, turns, and asks nothing of any server."""

import cv2
import numpy as np
import pytest

from hashhuman.errors import UserError
from hashhuman.export import html
from hashhuman.export.glb import glb
from hashhuman.io import assets
from tests.hashhuman.browser import opened, wait_until


def test_the_page_is_whole():
    modules = {name: f"import './three.core.js'; // {name}" for name in html.MODULES} | {"LICENSE": "MIT of three.js"}
    text = html.page(b"glTF-content", modules)
    assert "MIT of three.js" in text and "{{" not in text and "Z2xURi1jb250ZW50" in text
    assert "three.core.js" not in text and "http://" not in text and "https://" not in text


def test_without_npm_it_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("HASHHUMAN_MODELS", str(tmp_path))
    monkeypatch.setattr(assets, "_client", lambda package, folder: ["false"])
    with pytest.raises(UserError, match=r"three 0\.187\.0 could not be downloaded"):
        html.HtmlFile.fetched()


@pytest.mark.slow
def test_in_a_browser(exports, tmp_path):
    try:
        modules = html.HtmlFile.fetched()
    except UserError as error:
        pytest.skip(str(error))
    path = tmp_path / "avatar.html"
    path.write_text(html.page(glb(exports.mesh, [exports.motion]), modules), encoding="utf-8")
    with opened(path, width=480, height=360) as page:
        wait_until(page, "window.viewer !== undefined", 60)
        names = dict(zip(exports.skeleton.names, exports.motion.joints(exports.skeleton)[3]))
        shown = page.evaluate(
            "t => { viewer.playing = false; return viewer.joints(t); }", float(exports.motion.times[3])
        )
        assert all(np.linalg.norm(np.array(shown[name]) - place) < 1e-3 for name, place in names.items())
        low, high = page.evaluate("t => viewer.bounds(t)", float(exports.motion.times[3]))
        posed = exports.mesh.posed(exports.motion, 3)
        assert low == pytest.approx(posed.min(0), abs=1e-3) and high == pytest.approx(posed.max(0), abs=1e-3)

        page.click("#play")  # it was stopped above
        before = page.evaluate("viewer.time")
        wait_until(page, f"viewer.playing && viewer.time !== {before}", 30)
        page.click("#play")
        page.fill("#time", "0.1")
        assert page.evaluate("viewer.playing") is False and page.evaluate("viewer.time") == pytest.approx(0.1, abs=0.01)
        for box, state in (("wireframe", "viewer.mesh.material.wireframe"), ("skeleton", "viewer.bones.visible")):
            page.check(f"#{box}")
            assert page.evaluate(state) is True
            page.uncheck(f"#{box}")
        page.uncheck("#ground")
        page.select_option("#speed", "0.5")
        assert page.evaluate("viewer.speed") == 0.5 and page.evaluate("viewer.ground.visible") is False
        place = page.evaluate("viewer.camera.position.toArray()")
        page.mouse.move(240, 100)
        page.mouse.down()
        page.mouse.move(320, 100, steps=4)
        page.mouse.up()
        page.wait_for_timeout(300)
        assert np.linalg.norm(np.subtract(page.evaluate("viewer.camera.position.toArray()"), place)) > 0.1
        with page.expect_download() as saved:
            page.click("#save")
        picture = tmp_path / "saved.png"
        saved.value.save_as(picture)
    image = cv2.imread(str(picture))
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 5  # the person, not the background alone
