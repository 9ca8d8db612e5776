"""The LIP palette, in which SCHP stores part labels as pictures (the folder `schp/`).

LIP (Look Into Person, Gong et al., CVPR 2017) has 20 classes. Left and right are the person's.
"""

import numpy as np
from jaxtyping import UInt8

N_CLASSES = 20
# The classes of each part, as in instant-nvr. Hat, socks and shoes belong to no part.
PART_CLASSES: dict[str, tuple[int, ...]] = {
    "body": (5,),
    "leg": (9, 16, 17),
    "head": (2, 10, 13),
    "larm": (14,),
    "rarm": (15,),
}


def palette() -> UInt8[np.ndarray, "20 3"]:
    """RGB colours of the classes. Bits 0, 1, 2 of the class are the highest bits of R, G, B; bits 3, 4, 5 the next."""
    label, channel = np.arange(N_CLASSES)[:, None], np.arange(3)
    return (((label >> channel) & 1) << 7 | ((label >> (channel + 3)) & 1) << 6).astype(np.uint8)


def encode(labels: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """The RGB colours of a picture of classes."""
    return palette()[labels]


def decode(colours: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W"]:
    """The classes of a picture of RGB colours; colours outside the palette become 0, the background."""
    keys = np.arange(256, dtype=np.uint8)
    lookup = np.zeros(1 << 24, np.uint8)
    packed = palette().astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    lookup[packed] = keys[:N_CLASSES]
    return lookup[colours.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)]
