"""The sets of classes of the published checkpoints, and their translation to LIP's classes."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from hashhuman.data import lip
from preprocess.masks.parts import spread_classes

_PUBLISHED = "https://drive.google.com/drive/folders/1uOaQCpNtosIjEL2phQKEdiYd0Td18jNo"


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """The classes of a data set, in the order of the network's outputs; the first is the background."""

    checkpoint: str
    """The name of the published file."""
    source: str
    """Where its authors publish it."""
    side: int
    """Side of the square crops that the network was trained on (pixels)."""
    lip_classes: tuple[tuple[int, ...], ...]
    """For each class, the LIP classes (`hashhuman.data.lip`) that it can stand for.

    Of several, each pixel gets the one that is nearest on the fitted body.
    """
    mirrored: tuple[tuple[int, int], ...]
    """Pairs of classes that are exchanged in a mirror image."""

    def __len__(self) -> int:
        return len(self.lip_classes)

    def mirror(self) -> list[int]:
        """For each class, the class that it becomes in a mirror image."""
        partner = dict(self.mirrored) | {right: left for left, right in self.mirrored}
        return [partner.get(k, k) for k in range(len(self))]

    def to_lip(self, classes: UInt8[np.ndarray, "H W"], body: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
        """Translates a label image to LIP's classes.

        Args:
            classes: of this set.
            body: LIP classes of the fitted body, as `preprocess.masks.parts.PartRenderer` draws them. A class of which
                no candidate is visible on the body becomes its first candidate.
        """
        labels = np.array([options[0] for options in self.lip_classes], np.uint8)[classes]
        for k, options in enumerate(self.lip_classes):
            if len(options) > 1:
                nearest = spread_classes(np.where(np.isin(body, options), body, 0).astype(np.uint8), classes == k)
                labels = np.where(nearest != 0, nearest, labels)
        return labels


_LIP = tuple((k,) for k in range(lip.N_CLASSES))
_ARMS, _LEGS = (14, 15), (16, 17)

LABEL_SETS = {
    "lip": LabelSet(
        checkpoint="exp-schp-201908261155-lip.pth",
        source=_PUBLISHED,
        side=473,
        # LIP's class 10, jumpsuits, is CIHP's skin of the neck, which readers of schp/ assign to the head.
        lip_classes=(*_LIP[:10], (5, *_LEGS), *_LIP[11:]),
        mirrored=((14, 15), (16, 17), (18, 19)),
    ),
    "cihp": LabelSet(
        checkpoint="exp_schp_multi_cihp_local.pth",
        source=_PUBLISHED,
        side=473,
        lip_classes=_LIP,
        mirrored=((14, 15), (16, 17), (18, 19)),
    ),
    "atr": LabelSet(
        checkpoint="exp-schp-201908301523-atr.pth",
        source="https://drive.google.com/file/d/1ruJg4lqR_jgQPj-9K0PP-L2vJERYOxLP",
        side=512,
        # background, hat, hair, sunglasses, upper clothes, skirt, trousers, dress, belt, left and right shoe, face,
        # left and right leg, left and right arm, bag, scarf; in LIP, bags are background and belts have no class
        lip_classes=(
            *((0,), (1,), (2,), (4,), (5,), (12,), (9,), (6,), (5,), (18,), (19,), (13,)),
            *((16,), (17,), (14,), (15,), (0,), (11,)),
        ),
        mirrored=((9, 10), (12, 13), (14, 15)),
    ),
    "pascal": LabelSet(
        checkpoint="exp-schp-201908270938-pascal-person-part.pth",
        source="https://drive.google.com/file/d/1E5YwNKW2VOEayK9mWCS3Kpsxf-3z04ZE",
        side=512,
        # background, head, torso, upper arms, lower arms, upper legs, lower legs
        lip_classes=((0,), (13,), (5,), _ARMS, _ARMS, _LEGS, _LEGS),
        mirrored=(),
    ),
}
