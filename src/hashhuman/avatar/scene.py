"""Posed bodies with the index that finds what is near them: made once, rendered many times."""

import dataclasses

from hashhuman.avatar.search_index import SearchIndex
from hashhuman.body.posed_bodies import PosedBodies


@dataclasses.dataclass(frozen=True)
class Scene:
    """F posed bodies, ready to be seen."""

    bodies: PosedBodies  # differentiable with respect to the poses
    index: SearchIndex  # never differentiable, and may be some optimizer steps older than the bodies
