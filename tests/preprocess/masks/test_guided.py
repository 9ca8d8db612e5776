import numpy as np
import pytest

from preprocess.masks.guided import guided_filter


def brute_force(guide, target, radius, epsilon):
    """The paper's equations, window by window, in double precision."""
    height, width, _ = guide.shape
    grown = [(2 * radius, 2 * radius), (2 * radius, 2 * radius)]
    guide = np.pad(guide.astype(float), [*grown, (0, 0)], mode="reflect")
    target = np.pad(target.astype(float), grown, mode="reflect")
    a, b = np.zeros(guide.shape), np.zeros(target.shape)
    side = np.arange(-radius, radius + 1)
    for y in range(radius, height + 3 * radius):
        for x in range(radius, width + 3 * radius):
            colours = guide[np.ix_(y + side, x + side)].reshape(-1, 3)
            values = target[np.ix_(y + side, x + side)].ravel()
            covariance = np.cov(colours.T, bias=True) + epsilon * np.eye(3)
            a[y, x] = np.linalg.solve(covariance, (colours * values[:, None]).mean(0) - colours.mean(0) * values.mean())
            b[y, x] = values.mean() - a[y, x] @ colours.mean(0)
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            window = np.ix_(y + 2 * radius + side, x + 2 * radius + side)
            out[y, x] = a[window].mean((0, 1)) @ guide[y + 2 * radius, x + 2 * radius] + b[window].mean()
    return out


@pytest.mark.parametrize(("radius", "epsilon"), [(1, 1e-2), (2, 1e-3)])
def test_follows_the_formula(radius, epsilon):
    rng = np.random.default_rng(0)
    guide, target = rng.random((9, 11, 3)), rng.random((9, 11))
    expected = brute_force(guide, target, radius, epsilon)
    inner = np.s_[radius:-radius, radius:-radius]  # at the border the second mean mirrors maps instead of pictures
    np.testing.assert_allclose(guided_filter(guide, target, radius, epsilon)[inner], expected[inner], atol=2e-4)


def test_moves_a_blurred_edge_to_the_edge_of_the_picture():
    guide = np.zeros((20, 40, 3), np.float32)
    guide[:, 20:] = [0.8, 0.4, 0.2]
    target = np.clip((np.arange(40) - 14) / 8, 0, 1)[None].repeat(20, 0)  # half way at 18
    filtered = guided_filter(guide, target, 6, 1e-4)
    assert np.abs(np.diff(filtered[10])).argmax() == 19
    assert filtered[10, 20] - filtered[10, 19] > 0.4
