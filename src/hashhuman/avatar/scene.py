"""Posed bodies with an index of the space around them: made once, rendered many times."""

import dataclasses

from hashhuman.avatar.search_index import SearchIndex
from hashhuman.body.posed_bodies import PosedBodies


@dataclasses.dataclass(frozen=True)
class Scene:
    """F posed bodies and their search index."""

    bodies: PosedBodies  # differentiable with respect to the poses
    index: SearchIndex  # never differentiable, and may be some optimizer steps older than the bodies
