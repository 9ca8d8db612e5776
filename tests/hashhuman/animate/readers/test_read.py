"""The reader is chosen by the suffix."""

import pytest

from hashhuman.animate.readers.read import read
from hashhuman.errors import UserError
from tests.hashhuman.animate.readers.test_bvh import TEXT


def test_suffixes_and_rates(tmp_path):
    path = tmp_path / "walk.BVH"
    path.write_text(TEXT)
    assert read(path).times == pytest.approx([0, 0.04])
    assert read(path, fps=10.0).times == pytest.approx([0, 0.1])
    with pytest.raises(UserError, match=r"neither a run's folder nor one of .bvh, .npz, .glb, .amc"):
        read(tmp_path / "walk.fbx")
    with pytest.raises(UserError, match=r"walk\.BVH holds one motion, and clip=2 chooses"):
        read(path, clip=2)
    with pytest.raises(UserError, match=r"walk\.glb states the time of each of its keys: leave out motion_fps=30"):
        read(tmp_path / "walk.glb", fps=30.0)
