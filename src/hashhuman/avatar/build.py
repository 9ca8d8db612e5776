"""Builds the avatar that a config describes."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hashhuman.avatar.model import HashGridAvatar
from hashhuman.body.template import BodyTemplate, thinned
from hashhuman.encoder.protocol import EncoderFactory


def hash_grid_avatar(
    template: BodyTemplate,
    n_frames: int,
    deformer: Mapping[str, Any],
    neighbors: Mapping[str, Any],
    encoder: EncoderFactory,
    networks: Callable[..., nn.Module],
    field: Callable[..., Any],
    renderer: Mapping[str, Any],
    prune_after: int | None,
    prune_every: int,
) -> HashGridAvatar:
    """An untrained avatar. `avatar=hash_grid` fills in all but the first two arguments.

    Args:
        template: the subject's body.
        n_frames: number of training frames, for what is learned per frame.
        deformer: `skinning` (made), and `residual`, called with `n_frames` and `networks`.
        neighbors: `index`, which makes a neighbour index, and `max_points`, to which the body is thinned.
        encoder: makes the field's encoder (`encoder/protocol.py`).
        networks: makes networks.
        field: `field/build.py`; returns the field and each part's body points.
        renderer: `sampler` (made), `occupancy`, called with the field, and what `HashGridAvatar` takes of it.
        prune_after, prune_every: see `HashGridAvatar`.
    """
    template = thinned(template, neighbors["max_points"])
    skinning = deformer["skinning"]
    parts, part_points = field(
        template=template, n_frames=n_frames, encoder=encoder, networks=networks, reach=skinning.reach
    )
    residual = deformer["residual"](n_frames=n_frames, networks=networks)
    rendering = dict(renderer)
    occupancy = rendering.pop("occupancy")(parts)
    return HashGridAvatar(
        template, part_points, parts, occupancy, skinning, residual, neighbors["index"],
        prune_after=prune_after, prune_every=prune_every, **rendering,
    )  # fmt: skip
