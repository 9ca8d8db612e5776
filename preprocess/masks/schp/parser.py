"""Parses the person in a picture."""

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
    """Says which class each pixel about a person shows; may be called from several threads.

    Args:
        network: takes B x 3 x P x P pictures and gives B x N x p x p logits.
        labels: the network's N classes.
        scales: sizes of the crop that the network sees, of the one that it was trained on; their logits are averaged.
        flip: average over each crop and its mirror image.
        margin: of the crop about the person's box, as a fraction of its side.
        device: where the network is.
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
        self._one_at_a_time = threading.Lock()  # so that memory holds the features of one picture

    def __call__(self, image: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "4"]) -> UInt8[np.ndarray, "H W"]:
        """Classes of `labels`, 0 outside the crop; `image` is RGB, `box` holds x and y of its first and last pixels."""
        crop = Crop.around(box, self.labels.side, self.margin)
        with self._one_at_a_time, torch.inference_mode():
            logits = self.logits(to_tensor(crop.cut(image)).to(self.device)).cpu().numpy()
        return crop.classes(logits, *image.shape[:2])

    def logits(self, crop: Float[Tensor, "1 3 P P"]) -> Float[Tensor, "N P P"]:
        """The mean over scales and mirror images, at the crop's size."""
        size = crop.shape[2:]
        views = torch.cat([crop, crop.flip(-1)]) if self.flip else crop
        total = torch.zeros((), device=crop.device)
        for scale in self.scales:
            small = self.network(enlarge(views, (int(size[0] * scale), int(size[1] * scale))))
            if self.flip:
                small = (small[:1] + small[1:, self.labels.mirror()].flip(-1)) / 2
            total = total + enlarge(small, size)[0]
        return total / len(self.scales)
