"""The smallest rotation, one at a time and many at once."""

import numpy as np
import pytest

from hashhuman.animate.rotations import smallest_rotation


def test_directions_arrive_without_a_detour():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 50, 3))
    found = smallest_rotation(a, b)
    unit_a, unit_b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    assert found.apply(unit_a) == pytest.approx(unit_b)
    assert found.magnitude() == pytest.approx(np.arccos((unit_a * unit_b).sum(1)))
    assert smallest_rotation(a[3], b[3]).as_rotvec() == pytest.approx(found[3].as_rotvec())


def test_equal_and_opposite_directions():
    up = np.array([[0.0, 2.0, 0.0], [0.0, 2.0, 0.0]])
    found = smallest_rotation(up, np.array([[0.0, 1.0, 0.0], [0.0, -3.0, 0.0]]))
    assert found.magnitude() == pytest.approx([0, np.pi])
    assert found.apply([0.0, 1.0, 0.0]) == pytest.approx(np.array([[0, 1, 0], [0, -1, 0]]), abs=1e-12)
