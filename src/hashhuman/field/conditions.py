"""What the colour may depend on beside the canonical position.

Each condition is made for a number of training frames and maps pairs to features (M, n_features).
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hashhuman.deformer.pairs import CanonicalPairs


class Orientation(nn.Module):
    """The rotation from world to canonical space: a light that stands in the world can be learned on a turning body."""

    def __init__(self, n_frames: int) -> None:
        super().__init__()
        self.n_features = 9

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M 9"]:
        """The rotation's nine entries."""
        return pairs.rotation.flatten(1)


class ViewDirection(nn.Module):
    """The ray's direction in canonical space and its sines and cosines at `frequencies` octaves."""

    def __init__(self, n_frames: int, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.n_features = 3 + 6 * frequencies

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M n"]:
        """Mildenhall et al., "NeRF" (2020), Eq. 4, with the identity before."""
        octaves = 2.0 ** torch.arange(self.frequencies, device=pairs.viewdirs.device)
        angles = (pairs.viewdirs[:, None] * octaves[:, None]).flatten(1)
        return torch.cat([pairs.viewdirs, angles.sin(), angles.cos()], 1)


class FrameCode(nn.Module):
    """A learned vector for each training frame; a pose that training did not see gets their mean."""

    def __init__(self, n_frames: int, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.codes = nn.Embedding(n_frames, n_features)
        nn.init.normal_(self.codes.weight, std=0.01)

    def forward(self, pairs: CanonicalPairs) -> Float[Tensor, "M n"]:
        """The frames' codes."""
        unseen: Bool[Tensor, "M"] = pairs.time < 0
        return torch.where(unseen[:, None], self.codes.weight.mean(0), self.codes(pairs.time.clamp_min(0)))
