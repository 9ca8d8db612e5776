"""Charts as SVG: where curves run, on linear and logarithmic axes, and which numbers stand beside them."""

import numpy as np
import pytest

from hashhuman.page.charts import HEIGHT, axes_around, decades, ticks


def test_equal_factors_are_equal_distances_on_a_log_axis():
    axes = axes_around("loss", [(np.arange(3.0), np.array([1.0, 0.1, 0.01]))], log=True)
    assert axes is not None
    tops = [axes.y(value) for value in (1.0, 0.1, 0.01)]
    assert tops[1] - tops[0] == pytest.approx(tops[2] - tops[1]) and 0 < tops[0] < tops[2] < HEIGHT


def test_all_curves_have_space():
    curves = [(np.array([0.0, 10.0]), np.array([3.0, 5.0])), (np.array([20.0]), np.array([-4.0]))]
    axes = axes_around("a", curves)
    assert axes is not None and (axes.first, axes.last) == (0, 20)
    assert axes.low < -4 and axes.high > 5


def test_what_a_log_axis_cannot_show_is_a_gap():
    axes = axes_around("a", [(np.arange(4.0), np.array([1.0, 0.0, np.nan, 2.0]))], log=True)
    assert axes is not None and axes.curve(np.arange(4.0), np.array([1.0, 0.0, np.nan, 2.0])).count("M") == 2


def test_a_long_curve_keeps_its_peaks_and_gaps_and_stays_short():
    xs, ys = np.arange(1e5), np.sin(np.arange(1e5) / 1e4) + 2
    ys[50_001], ys[70_007], ys[20_000:30_000] = 9.0, 0.5, np.nan
    axes = axes_around("a", [(xs, ys)])
    assert axes is not None
    path = axes.curve(xs, ys)
    assert len(path) < 30_000 and path.count("M") >= 2
    for place in (50_001, 70_007):
        assert f"{axes.x(xs[place]):.1f} {axes.y(ys[place]):.1f}" in path


@pytest.mark.parametrize("values", [np.zeros(0), np.full(2, np.nan), np.full(2, np.inf)])
def test_nothing_to_draw_has_no_axes(values: np.ndarray):
    assert axes_around("a", [(np.arange(float(len(values))), values)]) is None


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-6])
def test_a_constant_has_axes(value: float):
    axes = axes_around("a", [(np.arange(2.0), np.full(2, value))])
    assert axes is not None and axes.low < value < axes.high and axes.grid


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.001, 1, [0.001, 0.01, 0.1, 1]), (0.3, 3, [0.5, 1, 2]), (1e-9, 1, [1e-9, 1e-7, 1e-5, 1e-3, 1e-1])],
)
def test_decades(low: float, high: float, expected: list[float]):
    assert decades(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 1, 4, [0, 0.5, 1]),
        (0, 2.75, 4, [0, 1, 2]),
        (0, 99, 6, [0, 20, 40, 60, 80]),
        (3, 12, 6, [4, 6, 8, 10, 12]),
        (7, 7, 4, [7]),
    ],
)
def test_ticks(low: float, high: float, most: int, expected: list[float]):
    assert ticks(low, high, most) == pytest.approx(expected)
