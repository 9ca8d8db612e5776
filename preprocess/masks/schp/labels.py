"""The sets of classes that published checkpoints tell apart, and how each is written in LIP's."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from hashhuman.data import lip
from preprocess.masks.parts import spread

_RECIPE = "https://drive.google.com/drive/folders/1uOaQCpNtosIjEL2phQKEdiYd0Td18jNo"


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """A data set's classes, in the order of the network's outputs; the first is the background."""

    checkpoint: str
    """The published file's name."""
    source: str
    """Where its authors publish it."""
    side: int
    """Pixels of the square picture that the network was trained on."""
    lip_classes: tuple[tuple[int, ...], ...]
    """Of each class: the LIP classes (`hashhuman.data.lip`) that it may be; where it may be several, the nearest part
    of the fitted body decides."""
    mirrored: tuple[tuple[int, int], ...]
    """Pairs of classes that change places in a mirror."""

    def __len__(self) -> int:
        return len(self.lip_classes)

    def mirror(self) -> list[int]:
        """The class that each class is in a mirror."""
        partner = dict(self.mirrored) | {right: left for left, right in self.mirrored}
        return [partner.get(k, k) for k in range(len(self))]

    def to_lip(self, classes: UInt8[np.ndarray, "H W"], body: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
        """The same in LIP's classes.

        Args:
            body: LIP classes of the fitted body as `preprocess.masks.parts.PartRenderer` draws it. Where none of the
                candidates of a class is in sight on it, that class becomes the first of them.
        """
        labels = np.array([options[0] for options in self.lip_classes], np.uint8)[classes]
        for k, options in enumerate(self.lip_classes):
            if len(options) > 1:
                nearest = spread(np.where(np.isin(body, options), body, 0).astype(np.uint8), classes == k)
                labels = np.where(nearest != 0, nearest, labels)
        return labels


_SAME = tuple((k,) for k in range(lip.N_CLASSES))
_ARMS, _LEGS = (14, 15), (16, 17)

LABEL_SETS = {
    "lip": LabelSet(
        checkpoint="exp-schp-201908261155-lip.pth",
        source=_RECIPE,
        side=473,
        # LIP's class 10, jumpsuits, is CIHP's skin of the neck, and readers of schp/ take it for the head.
        lip_classes=(*_SAME[:10], (5, *_LEGS), *_SAME[11:]),
        mirrored=((14, 15), (16, 17), (18, 19)),
    ),
    "cihp": LabelSet(
        checkpoint="exp_schp_multi_cihp_local.pth",
        source=_RECIPE,
        side=473,
        lip_classes=_SAME,
        mirrored=((14, 15), (16, 17), (18, 19)),
    ),
    "atr": LabelSet(
        checkpoint="exp-schp-201908301523-atr.pth",
        source="https://drive.google.com/file/d/1ruJg4lqR_jgQPj-9K0PP-L2vJERYOxLP",
        side=512,
        # background, hat, hair, sunglasses, upper clothes, skirt, trousers, dress, belt, left and right shoe, face,
        # left and right leg, left and right arm, bag, scarf; LIP leaves bags to the background and knows no belts
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
