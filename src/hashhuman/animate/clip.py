"""A motion as its file has it, of any skeleton: what every reader returns."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from hashhuman.errors import UserError
from hashhuman.export.motion import Motion, Skeleton
from hashhuman.io import limits

UP = 1  # the y axis, which points up in our files and in glTF's


@dataclasses.dataclass(frozen=True)
class Clip:
    """A skeleton at rest, and its motion in the world of its file. Float64; any unit of length, any axes.

    The space at rest and the world may have different axes. Rotations map from the one to the other, so formats whose
    joints have axes of their own and formats whose joints have none look alike.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]  # -1 at roots; a parent precedes its children
    joints: Float[np.ndarray, "J 3"]  # positions at rest
    times: Float[np.ndarray, "F"]  # seconds, ascending, the first one 0
    rotations: Float[np.ndarray, "F J 4"]  # unit quaternions x y z w: world rotation of each joint from rest
    positions: Float[np.ndarray, "F J 3"]  # positions of the joints in the world
    up: int | None  # the world's upward axis as the format states it (0, 1, 2: x, y, z); None: it does not

    def at(self, times: Float[np.ndarray, "N"]) -> "Clip":
        """The clip at other times (s) between its first and its last, interpolated."""
        if len(self.times) == 1:
            still = np.zeros(len(times), int)
            return dataclasses.replace(
                self, times=times, rotations=self.rotations[still], positions=self.positions[still]
            )
        turns = [
            Slerp(self.times, Rotation.from_quat(joint))(times).as_quat() for joint in self.rotations.swapaxes(0, 1)
        ]
        after = np.searchsorted(self.times, times, "right").clip(1, len(self.times) - 1)
        share = ((times - self.times[after - 1]) / (self.times[after] - self.times[after - 1]))[:, None, None]
        places = (1 - share) * self.positions[after - 1] + share * self.positions[after]
        return dataclasses.replace(self, times=times, rotations=np.stack(turns, 1), positions=places)

    def sampled(self, fps: float, start: float, stop: float | None) -> "Clip":
        """The clip from `start` to `stop` (s; None: its end) at `fps` frames a second; its times begin at 0 again.

        Raises:
            UserError: if nothing of the clip lies between them, or more than a motion file may hold.
        """
        end = self.times[-1] if stop is None else min(stop, self.times[-1])
        if start > end:
            raise UserError(
                f"animate.start={start:g} and animate.stop={'null' if stop is None else f'{stop:g}'} leave nothing of "
                f"a motion of {self.times[-1]:.2f} s: correct them."
            )
        count = int((end - start) * fps + 1e-3) + 1  # a file's times are rounded
        try:
            limits.check_motion(count, len(self.names))
        except ValueError:
            raise UserError(
                f"{end - start:.3g} s of the motion are {count:.3g} frames at animate.fps={fps:g}, which are too many: "
                "choose a part with animate.start= and animate.stop=, or say motion_fps= if the file's rate is wrong."
            ) from None
        clip = self.at(np.minimum(start + np.arange(count) / fps, self.times[-1]))
        return dataclasses.replace(clip, times=np.arange(count) / fps)

    def rested(self, frame: int) -> "Clip":
        """The same motion with the pose of a frame as the rest pose."""
        back = Rotation.from_quat(self.rotations[frame]).inv()
        turns = [(Rotation.from_quat(turn) * back).as_quat() for turn in self.rotations]
        return dataclasses.replace(self, joints=self.positions[frame], rotations=np.stack(turns))


def chained(
    parents: Sequence[int], rotations: Float[np.ndarray, "F J 4"], offsets: Float[np.ndarray, "#F J 3"]
) -> tuple[Float[np.ndarray, "F J 4"], Float[np.ndarray, "F J 3"]]:
    """World rotations and positions of joints whose rotation and position are relative to the parent joint."""
    offsets = np.array(np.broadcast_to(offsets, (len(rotations), *offsets.shape[1:])))
    worlds: list[Rotation] = []
    places = offsets.copy()
    for joint, parent in enumerate(parents):
        local = Rotation.from_quat(rotations[:, joint])
        if parent < 0:
            worlds.append(local)
            continue
        places[:, joint] = places[:, parent] + worlds[parent].apply(offsets[:, joint])
        worlds.append(worlds[parent] * local)
    return np.stack([world.as_quat() for world in worlds], 1), places


def clip_of(motion: Motion, skeleton: Skeleton) -> Clip:
    """A motion of ours as a clip: what another run filmed."""
    transforms = motion.transforms(skeleton)
    turns = Rotation.from_matrix(transforms[..., :3, :3].reshape(-1, 3, 3)).as_quat().reshape(motion.rotations.shape)
    return Clip(skeleton.names, skeleton.parents, skeleton.joints, motion.times, turns, transforms[..., :3, 3], UP)
