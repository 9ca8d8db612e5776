"""Conditions: inputs of the colour network besides the canonical position.

Each is a module that is constructed with the number of training frames, has an attribute `n_features`, and maps M pairs
to features (M, n_features).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hashhuman.deformer.pairs import CanonicalPairs


class Orientation(nn.Module):
    """The rotation from world to canonical space, with which a turning body can learn a light fixed in the world."""

    def __init__(self, n_frames: int) -> None:
        super().__init__()
        self.n_features = 9

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M 9"]:
        """The nine entries of each pair's rotation matrix."""
        return pairs.rotation.flatten(1)


class ViewDirection(nn.Module):
    """The viewing direction in canonical space with positional encoding, at `frequencies` octaves."""

    def __init__(self, n_frames: int, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.n_features = 3 + 6 * frequencies

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M n"]:
        """The directions, then their sines and cosines: NeRF (Mildenhall et al., ECCV 2020), Eq. 4, without pi."""
        octaves = 2.0 ** torch.arange(self.frequencies, device=pairs.viewdirs.device)
        angles = (pairs.viewdirs[:, None] * octaves[:, None]).flatten(1)
        return torch.cat([pairs.viewdirs, angles.sin(), angles.cos()], 1)


class FrameCode(nn.Module):
    """A learned vector for each training frame; other frames get the mean of all vectors."""

    def __init__(self, n_frames: int, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.codes = nn.Embedding(n_frames, n_features)
        nn.init.normal_(self.codes.weight, std=0.01)

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M n"]:
        """The code of each pair's frame."""
        unseen: Bool[Tensor, "M"] = pairs.time < 0
        return torch.where(unseen[:, None], self.codes.weight.mean(0), self.codes(pairs.time.clamp_min(0)))
