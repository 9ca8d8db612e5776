"""The LIP palette."""

import numpy as np

from hashhuman.data import lip


def test_lip_palette():
    """The colours that the classes of instant-nvr's parts have in SCHP's pictures."""
    palette = lip.palette()
    known = {2: (0, 128, 0), 5: (128, 0, 128), 9: (192, 0, 0), 13: (192, 0, 128), 14: (64, 128, 128)}
    known |= {15: (192, 128, 128), 16: (0, 64, 0), 17: (128, 64, 0)}
    for label, colour in known.items():
        assert tuple(palette[label]) == colour
    everything = np.arange(20, dtype=np.uint8).reshape(4, 5)
    np.testing.assert_array_equal(lip.decode(lip.encode(everything)), everything)
    assert lip.decode(np.full((1, 1, 3), 77, np.uint8)) == 0
