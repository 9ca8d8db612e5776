"""What a tab shows at a moment: the user's wish and the camera, as a pose and a camera of the run's world."""

import dataclasses

import numpy as np

from hashhuman.body.visibility import world_vertices
from hashhuman.export.motion import Motion, body_poses
from hashhuman.geometry.camera import Camera
from hashhuman.view import poses
from hashhuman.view.cameras import Eye
from hashhuman.view.controls import Wish
from hashhuman.view.outputs import Shot
from hashhuman.view.rendering import Picture, View
from hashhuman.view.subject import Subject


@dataclasses.dataclass(frozen=True)
class Shown:
    """A wish for a subject, seen by an eye."""

    subject: Subject
    wish: Wish
    eye: Eye

    @property
    def motion(self) -> Motion:
        """The pose in the browser's space, as a motion of one frame."""
        return poses.turned(poses.at(self.subject.motions[self.wish.motion], self.wish.time), self.wish.degrees)

    @property
    def position(self) -> int | None:
        """The filmed frame whose pose this is, as a position in the filmed motion; None: the pose was not filmed."""
        if self.wish.motion != 0 or self.wish.playing or self.wish.degrees.any():
            return None
        return self.subject.nearest_frame(self.wish.time)

    @property
    def center(self) -> np.ndarray:
        """The middle of the joints (m, the browser's space)."""
        return self.motion.joints(self.subject.skeleton)[0].mean(0)

    def view(self, camera: Camera | None = None) -> View:
        """What is to be rendered, by the eye or by another camera of the run's world."""
        position, motion = self.position, self.motion
        if position is None:
            (pose,), frame = body_poses(motion, self.subject.template), None
        else:
            pose, frame = self.subject.pose(position).to("cpu"), self.subject.train_index(position)
        camera = self.eye.camera(motion.exported_from_world) if camera is None else camera
        return View(camera, pose, frame, world_vertices(self.subject.template, pose))

    def shot(self, picture: Picture, background: float) -> Shot:
        """A picture of this, with what outputs ask for."""
        subject, position = self.subject, self.position
        filmed = subject.filmed(position) if position is not None and self.wish.output == "error" else None
        pose = self.view().pose
        return Shot(picture.image, picture.camera, pose, subject.avatar, subject.template, filmed, background)

    def poses_as(self, other: "Shown") -> bool:
        """Whether both have the same pose."""
        mine, theirs = self.wish, other.wish
        return (mine.motion, mine.time) == (theirs.motion, theirs.time) and bool((mine.degrees == theirs.degrees).all())

    def looks_as(self, other: "Shown") -> bool:
        """Whether both are seen by the same eye."""
        mine, theirs = self.eye, other.eye
        same = (mine.height, mine.width) == (theirs.height, theirs.width) and abs(mine.fov - theirs.fov) < 1e-6
        return same and np.allclose(mine.position, theirs.position) and np.allclose(mine.rotation, theirs.rotation)
