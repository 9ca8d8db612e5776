"""Parses the person in a picture: which class each pixel shows."""

import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from preprocess.masks.schp.crop import Crop, to_tensor
from preprocess.masks.schp.labels import LabelSet
from preprocess.masks.schp.network import enlarge


class Parser:
    """Finds the class of each pixel around a person; may be called from several threads.

    Args:
        network: maps pictures (B, 3, P, P) to logits (B, N, p, q).
        labels: the network's N classes.
        scales: sizes of the crop whose logits are averaged, relative to the size that the network was trained on.
        flip: average the logits of each crop and its mirror image.
        margin: of the crop around the person's box, as a fraction of its longer side.
        device: of the network.
    """

    def __init__(
        self,
        network: Callable[[Float[Tensor, "B 3 P P"]], Float[Tensor, "B N p q"]],
        labels: LabelSet,
        scales: Sequence[float] = (1.0,),
        flip: bool = True,
        margin: float = 0.05,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network, self.labels, self.device = network, labels, device
        self.scales, self.flip, self.margin = scales, flip, margin
        self._one_at_a_time = threading.Lock()  # so that the features of only one picture are in memory

    def __call__(self, image: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "4"]) -> UInt8[np.ndarray, "H W"]:
        """The class (of `labels`) of each pixel; 0 outside the crop.

        Args:
            image: RGB.
            box: around the person: x and y of its first pixel, x and y of its last pixel.
        """
        crop = Crop.around(box, self.labels.side, self.margin)
        with self._one_at_a_time, torch.inference_mode():
            logits = self.logits(to_tensor(crop.cut(image)).to(self.device)).cpu().numpy()
        return crop.classes(logits, *image.shape[:2])

    def logits(self, crop: Float[Tensor, "1 3 P P"]) -> Float[Tensor, "N P P"]:
        """The mean logits over scales and mirror images, at the crop's size."""
        size = crop.shape[2:]
        views = torch.cat([crop, crop.flip(-1)]) if self.flip else crop
        total = torch.zeros((), device=crop.device)
        for scale in self.scales:
            small = self.network(enlarge(views, (int(size[0] * scale), int(size[1] * scale))))
            if self.flip:
                small = (small[:1] + small[1:, self.labels.mirror()].flip(-1)) / 2
            total = total + enlarge(small, size)[0]
        return total / len(self.scales)
