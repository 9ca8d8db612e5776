"""Begins a field as the body itself, before it has seen any picture.

A field begins with some density everywhere. Pictures and the completion of what they do not show remove it slowly where
few rays and few random places come, and what is left of it hangs around the person as wisps.
"""

import torch

from hashhuman.avatar.surface import Surface
from hashhuman.field.base import CanonicalField

CLEARANCE = 0.01  # metres above the body from which on it is empty
LENGTH = 0.01  # metres; a density of 1 / length counts as half filled


@torch.enable_grad()
def begin_as_body(field: CanonicalField, surface: Surface, steps: int, per_part: int, lr: float) -> None:
    """Teaches a new field to be opaque inside the body, and empty above it.

    Args:
        field: the field, whose weights are changed.
        surface: of the body, whose heights are still zero.
        steps: Adam's.
        per_part: random places of a step for each part; a multiple of 128.
        lr: Adam's learning rate.
    """
    optimizer = torch.optim.Adam(field.parameters(), lr)
    for _ in range(steps):
        places = surface.draw(per_part)
        optical = field(places.pairs)[1] * LENGTH
        filled = optical / (1 + optical)
        error = (filled * (places.above > CLEARANCE) + (1 - filled) * (places.above < 0)).mean()
        optimizer.zero_grad(set_to_none=True)
        error.backward()
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
