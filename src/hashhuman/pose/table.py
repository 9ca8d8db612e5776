"""The table of the training frames' poses, which an avatar owns: `pose=fixed` or `pose=refined`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hashhuman.body.posed_bodies import PosedBodies
from hashhuman.body.template import BodyPose, BodyTemplate
from hashhuman.errors import UserError
from hashhuman.geometry import skinning
from hashhuman.gpu.backend import chosen
from hashhuman.pose import posing
from hashhuman.pose.between import Neighbours, beside_curve, correction_between, mean_pose, neighbours
from hashhuman.pose.blur import GradientBlur
from hashhuman.pose.corrections import Correction
from hashhuman.pose.motion import accelerations, steadiness


@dataclasses.dataclass(frozen=True)
class PosedTable:
    """The poses of a training step, for losses. Differentiable with respect to the corrections."""

    rotation: Float[Tensor, "F J 3"]  # corrections (`pose/corrections.py`), axis-angle (radians)
    transl: Float[Tensor, "F 3"]  # corrections (m)
    chain: Float[Tensor, "F J 3 4"]  # each joint's rotation and position (m), in posed space
    world_from_posed: Float[Tensor, "F 4 4"]
    frames: Float[Tensor, "F"]  # the frames' times; the usual distance between two of them is 1
    steady: Float[Tensor, "A J"]  # how smooth the F - 2 accelerations are held to be (`pose/motion.py`)


class FixedPoses(nn.Module):
    """`pose=fixed`: the fitted poses. It has no parameters, and launches nothing.

    Args:
        n_frames: number of training frames.
        n_joints: J.
    """

    spare = 0.0  # as for `RefinedPoses`

    def __init__(self, n_frames: int, n_joints: int) -> None:
        super().__init__()

    def start(self, template: BodyTemplate, poses: Sequence[BodyPose], frames: Sequence[int]) -> None:
        """Takes the fitted poses of the training frames; `RefinedPoses.start` has the arguments."""

    def corrected(self, pose: BodyPose, frame: int, pelvis: Float[Tensor, "3"]) -> BodyPose:
        """The fitted pose itself."""
        return pose

    def bodies(self, bodies: PosedBodies) -> tuple[PosedBodies, PosedTable | None]:
        """The bodies of the training frames as they are."""
        return bodies, None

    def miniature(self, template: BodyTemplate, bodies: PosedBodies) -> PosedBodies:
        """The bodies as they are: there are no kernels to compile."""
        return bodies

    def indexed(self, bodies: PosedBodies) -> tuple[PosedBodies, None]:
        """The bodies as they are: none has moved."""
        return bodies, None

    def moved(self, bodies: PosedBodies) -> tuple[PosedBodies, Int[Tensor, "K"]] | None:
        """None: the bodies stay where they are."""
        return None

    def remade(self) -> None:
        """Nothing: the memory of an index depends on no corrections."""

    def after_step(self, step: int) -> bool:
        """False: a step changes nothing here."""
        return False

    def parameter_groups(self) -> list[dict[str, Any]]:
        """No groups."""
        return []


class RefinedPoses(nn.Module):
    """`pose=refined`: corrections of the fitted poses that are learned with the avatar, at first zero.

    The corrections and the numbers of their frames are saved with the avatar's weights. The fitted poses are not: they
    stay in the subject folder. The body's shape is not refined, since a `BodyTemplate` has no parameters of shape.

    Args:
        n_frames: F, the number of training frames.
        n_joints: J.
        lr: learning rate of rotations in radians; that of `transl` in metres is `transl_lr`.
        transl_lr: see `lr`.
        start_step: steps before poses are refined. Up to then, a step costs what it costs with `pose=fixed`.
        warmup_steps: steps in which the learning rate rises after that.
        stop_step: the step from which on poses stay as they are, and cost nothing; None: they are refined to the end.
        refresh_every: steps between two checks of how far the bodies have moved since the search index was made.
        drift: a body is indexed again if one of its points has moved farther than this (m). It must be less than what
            the index leaves free around the person: about one cell of `renderer.occupancy`.
        tremble: root mean square of the fit's accelerations that are no motion (m per squared frame).
        blur: blurs the gradients over the frames; None: each frame has its own.
        kernels: auto, triton or torch, for posing.
    """

    spare = 0.05  # metres by which bodies may become larger along an axis before their index needs more memory
    at_memory: Tensor
    at_index: Tensor
    steady: Tensor

    def __init__(
        self,
        n_frames: int,
        n_joints: int,
        lr: float,
        transl_lr: float,
        start_step: int,
        warmup_steps: int,
        stop_step: int | None,
        refresh_every: int,
        drift: float,
        tremble: float = 0.01,
        blur: GradientBlur | None = None,
        kernels: str = "auto",
    ) -> None:
        super().__init__()
        self.rotation = nn.Parameter(torch.zeros(n_frames, n_joints, 3))
        self.transl = nn.Parameter(torch.zeros(n_frames, 3))
        self.register_buffer("frames", torch.full((n_frames,), -1, dtype=torch.long))
        self.register_buffer("fit", torch.zeros(n_frames, n_joints + 1, 3))  # what the corrections belong to
        # Corrections from which a training that is continued makes the same search index:
        self.register_buffer("at_memory", torch.zeros(n_frames, n_joints + 1, 3))  # when its memory was reserved
        self.register_buffer("at_index", torch.zeros(n_frames, n_joints + 1, 3))  # when each body was indexed last
        self.register_buffer("steady", torch.ones(max(n_frames - 2, 0), n_joints))  # of the fit (`pose/motion.py`)
        self.lr, self.transl_lr, self.kernels = lr, transl_lr, kernels
        self.start_step, self.warmup_steps, self.stop_step = start_step, warmup_steps, stop_step
        self.refresh_every, self.drift, self.tremble, self.blur = refresh_every, drift, tremble, blur
        self.fitted: posing.Fitted | None = None
        self.times = torch.zeros(n_frames)
        self.step = 0

    def start(self, template: BodyTemplate, poses: Sequence[BodyPose], frames: Sequence[int]) -> None:
        """Takes the fitted poses of the training frames.

        Args:
            template: the body, on the device of training.
            poses: the fitted poses.
            frames: numbers of the frames, ascending.

        Raises:
            UserError: if a checkpoint was loaded whose corrections belong to other frames or poses.
        """
        self._refuse_others(poses, frames)
        device = template.vertices.device
        self.frames: Tensor = torch.tensor(list(frames), device=device)
        self.fit: Tensor = torch.stack([_numbers(pose) for pose in poses]).to(device)
        self.fitted = posing.Fitted.of(template, poses)
        spacing = self.frames.diff().float().median() if len(frames) > 1 else torch.ones((), device=device)
        self.times = (self.frames - self.frames[0]).float() / spacing
        if len(frames) > 2:
            with torch.no_grad():
                rest = torch.zeros_like(self.rotation), torch.zeros_like(self.transl)
                found = accelerations(*posing.chains(*rest, self.fitted), self.times)
                self.steady.copy_(steadiness(found, self.tremble))
        if self.blur is not None:
            self.blur.start(self.times, self.step)

    def corrected(self, pose: BodyPose, frame: int, pelvis: Float[Tensor, "3"]) -> BodyPose:
        """The refined pose of a frame.

        That of a frame that is held out is interpolated in time (`pose/between.py`). Frames before the first and after
        the last training frame keep the fitted pose.

        Args:
            pose: the fitted pose.
            frame: number of the frame.
            pelvis: position of the root joint at rest (m).

        Raises:
            UserError: if the pose of a training frame is not the one that was refined.
        """
        self._refuse_other(pose, frame)
        near = self._neighbours(frame)
        if near is None:
            return pose
        own = self._correction(near).of(pose, pelvis)
        if len(near.positions) < 4:
            return own
        curve = [self._correction(Neighbours([i], [1.0])).of(_pose(self.fit[i]), pelvis) for i in near.positions]
        steady = self.steady[[max(near.positions[1] - 1, 0), min(near.positions[2] - 1, len(self.steady) - 1)]]
        return beside_curve(own, mean_pose(curve, near.weights, pelvis), steady.mean(0), pelvis)

    def _refuse_others(self, poses: Sequence[BodyPose], frames: Sequence[int]) -> None:
        known = self.frames.tolist()
        if known[:1] == [-1]:  # never trained
            return
        if known != list(frames):
            raise UserError(
                "The training frames are not those whose poses this run refined: restore the subject's pictures, "
                "or train the run again."
            )
        for pose, frame in zip(poses, frames):
            self._refuse_other(pose, frame)

    def _refuse_other(self, pose: BodyPose, frame: int) -> None:
        known = (self.frames == frame).nonzero()[:, 0]
        if len(known) and not torch.allclose(self.fit[known[0]].cpu(), _numbers(pose).cpu(), rtol=0, atol=1e-5):
            raise UserError(
                f"The pose of frame {frame} is not the one that this run refined: restore the subject's smpl_params/, "
                "or train the run again."
            )

    def correction(self, frame: int) -> Correction | None:
        """A frame's correction, on the CPU; None for a frame before the first or after the last training frame."""
        near = self._neighbours(frame)
        return None if near is None else self._correction(near)

    def _neighbours(self, frame: int) -> Neighbours | None:
        frames = self.frames.tolist()
        return None if frames[:1] == [-1] else neighbours(frames, frame)  # -1: never trained

    def _correction(self, near: Neighbours) -> Correction:
        rows = near._replace(positions=list(range(len(near.positions))))  # only these leave the device
        rotation, transl = (table.detach()[near.positions].cpu() for table in (self.rotation, self.transl))
        return correction_between(rotation, transl, rows)

    @property
    def learning(self) -> bool:
        """Whether the present step refines poses."""
        return self.start_step <= self.step and (self.stop_step is None or self.step < self.stop_step)

    def bodies(self, bodies: PosedBodies) -> tuple[PosedBodies, PosedTable | None]:
        """The bodies of the training frames in their corrected poses, and these poses for losses.

        The bodies' maps have the gradients of the corrections. Their vertices are those of `bodies`: nothing in a step
        needs newer ones. While poses are not refined, `bodies` itself is returned, and None.
        """
        if not self.learning:
            return bodies, None
        rotation, transl = self.rotation, self.transl
        if self.blur is not None:
            rotation, transl = self.blur(rotation, transl)
        chain, world, maps = self._posed(rotation, transl, self.fitted)
        table = PosedTable(rotation, transl, chain, world, self.times, self.steady)
        return dataclasses.replace(bodies, world_from_posed=world, canonical_from_posed=maps), table

    def miniature(self, template: BodyTemplate, bodies: PosedBodies) -> PosedBodies:
        """One body in the rest pose, posed by the kernels of a step and with gradients, to compile all of them.

        Args:
            template: the body.
            bodies: one posed body, which has all the rest.
        """
        rest = torch.zeros_like(template.joints)
        fitted = posing.Fitted.of(template, [BodyPose(rest, rest[0], rest[0])])
        _, world, maps = self._posed(rest[None].clone().requires_grad_(), rest[:1].clone().requires_grad_(), fitted)
        return dataclasses.replace(bodies, world_from_posed=world, canonical_from_posed=maps)

    @torch.no_grad()
    def moved(self, bodies: PosedBodies) -> tuple[PosedBodies, Int[Tensor, "K"]] | None:
        """The bodies of which a point has moved farther than `drift` from `bodies`.

        Asked only every `refresh_every` steps, since the host waits for the device. When refinement stops, all bodies
        count as moved.

        Returns:
            All bodies, of which those that have moved are as they are now; and which these are. None if there are none.
        """
        ends = self.step == self.stop_step
        if not ends and not (self.learning and self.step > self.start_step and self.step % self.refresh_every == 0):
            return None
        _, world, maps = self._posed(self.rotation, self.transl, self.fitted)
        vertices = _vertices(bodies, maps)
        farthest = (vertices - bodies.vertices).square().sum(-1).amax(1)
        frames = ((farthest > self.drift**2) | ends).nonzero()[:, 0]
        if not len(frames):
            return None
        self.at_index[frames] = torch.cat([self.rotation, self.transl[:, None]], 1)[frames]
        return _replaced(bodies, frames, world, maps, vertices), frames

    @torch.no_grad()
    def indexed(self, bodies: PosedBodies) -> tuple[PosedBodies, tuple[PosedBodies, Int[Tensor, "K"]] | None]:
        """The bodies of which the search index was made, for a training that is continued.

        Args:
            bodies: in the fitted poses.

        Returns:
            The bodies when the memory of the index was reserved; and, as from `moved`, those that were indexed again
            since. Without corrections these are `bodies` itself and None.
        """
        start = self._corrected_by(self.at_memory, bodies, self.at_memory.flatten(1).any(1))
        later = (self.at_index != self.at_memory).flatten(1).any(1)
        return start, (self._corrected_by(self.at_index, start, later), later.nonzero()[:, 0]) if later.any() else None

    def _corrected_by(self, numbers: Tensor, bodies: PosedBodies, some: Tensor) -> PosedBodies:
        if not some.any():
            return bodies
        _, world, maps = self._posed(numbers[:, :-1], numbers[:, -1], self.fitted)
        return _replaced(bodies, some.nonzero()[:, 0], world, maps, _vertices(bodies, maps))

    def remade(self) -> None:
        """Notes that the memory of the index was reserved again, for the bodies as they are indexed now."""
        self.at_memory.copy_(self.at_index)

    def after_step(self, step: int) -> bool:
        """Notes the number of steps taken. Returns whether the next one computes other things than the last one."""
        before, self.step = self.learning, step
        if self.blur is not None:
            self.blur.after_step(step)
        return self.learning != before

    def get_extra_state(self) -> Tensor:
        """The number of steps, with which a training that is continued is in the same phase."""
        return torch.tensor(self.step)

    def set_extra_state(self, state: Tensor) -> None:
        """Goes on from a saved number of steps."""
        self.step = int(state)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        for name in ("at_memory", "at_index", "steady"):  # which runs of earlier revisions lack
            state_dict.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Rotations and translations, each with a learning rate and a `factor` of it at each step."""
        rotation = {"params": [self.rotation], "name": "pose rotations", "lr": self.lr, "factor": self._factor}
        transl = {"params": [self.transl], "name": "pose translations", "lr": self.transl_lr, "factor": self._factor}
        return [rotation, transl]

    def _factor(self, step: int) -> float:
        return min(1.0, max(0.0, (step - self.start_step + 1) / max(self.warmup_steps, 1)))

    def _posed(
        self, rotation: Tensor, transl: Tensor, fitted: posing.Fitted | None
    ) -> tuple[Float[Tensor, "F J 3 4"], Float[Tensor, "F 4 4"], Float[Tensor, "F V 3 4"]]:
        """Chains, `world_from_posed` and `canonical_from_posed` of corrected poses."""
        assert fitted is not None, "start() comes before posing"
        backend: Any = posing
        if chosen(self.kernels, rotation.device):
            from hashhuman.pose import posing_kernels as backend
        chain, world = backend.chains(rotation, transl, fitted)
        return chain, world, backend.maps(chain, fitted)


def _vertices(bodies: PosedBodies, maps: Float[Tensor, "F V 3 4"]) -> Float[Tensor, "F V 3"]:
    """The body points (m, posed space) that the maps carry to the canonical ones."""
    inverse = skinning.invert_linear(maps[..., :3])
    return (inverse @ (bodies.canonical_vertices - maps[..., 3])[..., None])[..., 0]


def _replaced(bodies: PosedBodies, frames: Tensor, world: Tensor, maps: Tensor, vertices: Tensor) -> PosedBodies:
    """The bodies, of which some are those with these transforms and vertices of all."""
    return dataclasses.replace(
        bodies,
        world_from_posed=bodies.world_from_posed.index_copy(0, frames, world[frames]),
        canonical_from_posed=bodies.canonical_from_posed.index_copy(0, frames, maps[frames]),
        vertices=bodies.vertices.index_copy(0, frames, vertices[frames]),
    )


def _numbers(pose: BodyPose) -> Float[Tensor, "rows 3"]:
    return torch.cat([pose.orient[None], pose.body_pose[1:], pose.transl[None]])


def _pose(numbers: Float[Tensor, "rows 3"]) -> BodyPose:
    """The pose of `_numbers`, on the CPU."""
    orient, *turns, transl = numbers.detach().cpu()
    return BodyPose(torch.stack([torch.zeros(3), *turns]), orient, transl)


PoseTable = FixedPoses | RefinedPoses
PoseTableFactory = Callable[..., PoseTable]  # called with `n_frames` and `n_joints`
