"""Builds the avatar that a config describes."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hashhuman.avatar.model import HashGridAvatar
from hashhuman.body.template import BodyTemplate, thinned
from hashhuman.encoder.protocol import EncoderFactory
from hashhuman.pose.table import PoseTableFactory


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
    poses: PoseTableFactory,
) -> HashGridAvatar:
    """Builds an untrained avatar. `avatar=hash_grid` fills in all but the first two arguments.

    Args:
        template: the subject's body.
        n_frames: number of training frames, for parameters that are learned per frame.
        deformer: `skinning`, an `InverseSkinning`, and `residual`, a factory that is called with `n_frames` and
            `networks`.
        neighbors: `index`, a factory of neighbour indices, and `max_points`, the most vertices that the body keeps.
        encoder: factory of the field's encoder (`encoder/protocol.py`).
        networks: factory of networks.
        field: factory of the field and of each part's body points (`field/build.py`).
        renderer: `occupancy`, a factory that is called with the field; the rest are arguments of `HashGridAvatar`.
        prune_after, prune_every: see `HashGridAvatar`.
        poses: factory of the table of the training frames' poses.
    """
    template = thinned(template, neighbors["max_points"])
    skinning = deformer["skinning"]
    parts, part_points = field(
        template=template, n_frames=n_frames, encoder=encoder, networks=networks, reach=skinning.reach
    )
    residual = deformer["residual"](n_frames=n_frames, networks=networks)
    rendering = dict(renderer)
    occupancy = rendering.pop("occupancy")(parts)
    table = poses(n_frames=n_frames, n_joints=len(template.joints))
    return HashGridAvatar(
        template, part_points, parts, occupancy, skinning, residual, neighbors["index"],
        prune_after=prune_after, prune_every=prune_every, poses=table, **rendering,
    )  # fmt: skip
