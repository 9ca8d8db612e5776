"""What a tab shows at a moment: the user's request and the camera, as a pose and a camera of the run's world."""

import dataclasses

import numpy as np

from hashhuman.body.visibility import world_vertices
from hashhuman.export.motion import Motion, body_poses
from hashhuman.geometry.camera import Camera
from hashhuman.view import poses
from hashhuman.view.cameras import Viewpoint
from hashhuman.view.controls import Request
from hashhuman.view.outputs import RenderedView
from hashhuman.view.rendering import Picture, RenderRequest
from hashhuman.view.subject import Subject


@dataclasses.dataclass(frozen=True)
class RequestedView:
    """A request for a subject, seen from a viewpoint."""

    subject: Subject
    request: Request
    viewpoint: Viewpoint

    @property
    def motion(self) -> Motion:
        """The pose in the browser's space, as a motion of one frame."""
        return poses.turned(
            poses.at(self.subject.motions[self.request.motion], self.request.time), self.request.degrees
        )

    @property
    def position(self) -> int | None:
        """The filmed frame whose pose this is, as a position in the filmed motion; None: the pose was not filmed."""
        if self.request.motion != 0 or self.request.playing or self.request.degrees.any():
            return None
        return self.subject.nearest_frame(self.request.time)

    @property
    def center(self) -> np.ndarray:
        """The middle of the joints (m, the browser's space)."""
        return self.motion.joints(self.subject.skeleton)[0].mean(0)

    def view(self, camera: Camera | None = None) -> RenderRequest:
        """What is to be rendered, from the viewpoint or by another camera of the run's world."""
        position, motion = self.position, self.motion
        if position is None:
            (pose,), frame = body_poses(motion, self.subject.template), None
        else:
            pose, frame = self.subject.pose(position).to("cpu"), self.subject.train_index(position)
        camera = self.viewpoint.camera(motion.exported_from_world) if camera is None else camera
        return RenderRequest(camera, pose, frame, world_vertices(self.subject.template, pose))

    def rendered(self, picture: Picture, background: float) -> RenderedView:
        """A picture of this, with what outputs ask for."""
        subject, position = self.subject, self.position
        filmed = subject.filmed(position) if position is not None and self.request.output == "error" else None
        pose = self.view().pose
        return RenderedView(picture.image, picture.camera, pose, subject.avatar, subject.template, filmed, background)

    def poses_as(self, other: "RequestedView") -> bool:
        """Whether both have the same pose."""
        mine, theirs = self.request, other.request
        return (mine.motion, mine.time) == (theirs.motion, theirs.time) and bool((mine.degrees == theirs.degrees).all())

    def looks_as(self, other: "RequestedView") -> bool:
        """Whether both are seen from the same viewpoint."""
        mine, theirs = self.viewpoint, other.viewpoint
        same = (mine.height, mine.width) == (theirs.height, theirs.width) and abs(mine.fov - theirs.fov) < 1e-6
        return same and np.allclose(mine.position, theirs.position) and np.allclose(mine.rotation, theirs.rotation)
