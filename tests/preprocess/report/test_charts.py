"""Curves as SVG: where they run, and what they leave out."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from hashhuman.page.charts import HEIGHT, WIDTH, path_data
from preprocess.report.charts import Chart


def drawn(chart: Chart, values: np.ndarray, marked: tuple[int, ...] = ()) -> ElementTree.Element:
    frames = np.arange(len(values))
    return ElementTree.fromstring(chart.svg(frames, values, np.isin(frames, marked)))


def paths(svg: ElementTree.Element, kind: str) -> list[str]:
    return [path.get("d", "") for path in svg.iter("path") if path.get("class") == kind]


def numbers(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path)]


def test_the_curve_rises_where_the_values_do():
    svg = drawn(Chart("a", "mm", [None, None], top=10.0), np.array([0.0, 5.0, 10.0]))
    (x0, y0), (x1, y1), (x2, y2) = numbers(*paths(svg, "curve"))
    assert x1 - x0 == pytest.approx(x2 - x1) and y0 - y1 == pytest.approx(y1 - y2) and y2 < y1 < y0
    assert 0 < x0 < x2 < WIDTH and 0 < y2 < y0 < HEIGHT


def test_a_gap_breaks_the_curve():
    assert path_data([(0, 1), (1, 1), None, (3, 2)]) == "M0.0 1.0h.01L1.0 1.0M3.0 2.0h.01"
    svg = drawn(Chart("a", "mm", [1, 2]), np.array([1.0, np.nan, 3.0]))
    assert paths(svg, "curve")[0].count("M") == 2


def test_limits_are_drawn_where_they_fit():
    near = drawn(Chart("a", "mm", [2, 2.2]), np.array([1.0, 2.0]))
    assert len(paths(near, "fine")) == len(paths(near, "bad")) == 1
    far = drawn(Chart("a", "mm", [2, 50]), np.array([1.0, 2.0]))
    assert len(paths(far, "fine")) == 1 and not paths(far, "bad")


def test_marked_frames_lie_under_their_values():
    svg = drawn(Chart("a", "mm", [2, None]), np.arange(5.0), marked=(3,))
    (ground,) = svg.iter("rect")
    x, _ = numbers(*paths(svg, "curve"))[3]
    assert float(ground.get("x", 0)) < x < float(ground.get("x", 0)) + float(ground.get("width", 0))


def test_words_are_escaped():
    assert drawn(Chart('a "<b>" & c', "mm", [1, 2]), np.ones(3)).get("aria-label") == 'a "<b>" & c, mm'


@pytest.mark.parametrize("values", [np.full(3, np.nan), np.zeros(3), np.ones(1)])
def test_nothing_to_see_is_no_error(values: np.ndarray):
    assert len(paths(drawn(Chart("a", "mm", [None, None]), values), "curve")) == 1
