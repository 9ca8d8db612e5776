"""A small ground-truth scene that the project renders itself, from nothing but numpy: a mannequin of capsules.

Each bone of a skeleton with SMPL's 24 joints carries capsules (cylinders with round ends), which move rigidly with it.
Rays meet capsules in closed form, so pictures, masks and part labels are exact, and the body's mesh lies on
the photographed surface. Lengths are in metres; y is up, the mannequin faces +z, its left is +x.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from rich.progress import track

from hashhuman.body.parts import INSTANT_NVR_PARTS, part_of_joints
from hashhuman.body.template import SMPL_JOINTS, BodyPose, BodyTemplate
from hashhuman.data.subject import SubjectWriter
from hashhuman.geometry import skinning
from hashhuman.geometry.camera import Camera
from hashhuman.io import files

VERSION = 1  # of the scene: a folder made by another version is made anew
PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
_CENTRE = {
    "pelvis": (0.0, 0.0, 0.0), "spine1": (0.0, 0.11, 0.0), "spine2": (0.0, 0.24, 0.0), "spine3": (0.0, 0.34, 0.0),
    "neck": (0.0, 0.51, -0.01), "head": (0.0, 0.60, 0.01),
}  # fmt: skip
_LEFT = {
    "hip": (0.09, -0.08, 0.0), "knee": (0.10, -0.47, 0.0), "ankle": (0.10, -0.86, -0.02), "foot": (0.11, -0.91, 0.09),
    "collar": (0.07, 0.44, 0.0), "shoulder": (0.19, 0.45, 0.0), "elbow": (0.45, 0.45, 0.0), "wrist": (0.69, 0.45, 0.0),
    "hand": (0.77, 0.45, 0.0),
}  # fmt: skip
_LIGHT = np.array([0.4, 0.7, 0.6]) / np.linalg.norm([0.4, 0.7, 0.6])
_AROUND, _RINGS, _SPACING = 12, 4, 0.03  # vertices around a capsule, steps from its side to its tip, metres along it


@dataclasses.dataclass(frozen=True)
class Capsule:
    """All points within `radius` of a segment, at rest."""

    joint: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float
    cloth: str

    @functools.cached_property
    def frame(self) -> Float[np.ndarray, "3 3"]:
        """Rows: two directions across the axis, then the axis from start to end."""
        axis = np.subtract(self.end, self.start)
        axis /= np.linalg.norm(axis)
        ahead = np.array([0.0, 0.0, 1.0]) if abs(axis[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
        across = np.cross(ahead, axis)
        across /= np.linalg.norm(across)
        return np.stack([across, np.cross(axis, across), axis])


def rest_joints() -> Float[np.ndarray, "24 3"]:
    """Joint positions at rest: a T-pose, 1.75 m tall."""
    sides = {
        f"{side}_{name}": (sign * x, y, z)
        for side, sign in (("left", 1), ("right", -1))
        for name, (x, y, z) in _LEFT.items()
    }
    return np.array([(_CENTRE | sides)[name] for name in SMPL_JOINTS])


def mannequin() -> list[Capsule]:
    """The body's capsules, from the pelvis outwards."""
    at: dict[str, np.ndarray] = dict(zip(SMPL_JOINTS, rest_joints()))

    def across(joint: str, height: float, half: float, radius: float, cloth: str) -> Capsule:
        return Capsule(joint, (-half, height, 0.0), (half, height, 0.0), radius, cloth)

    capsules = [
        across("pelvis", -0.04, 0.07, 0.115, "trousers"), across("spine1", 0.10, 0.06, 0.112, "shirt"),
        across("spine2", 0.22, 0.07, 0.115, "shirt"), across("spine3", 0.36, 0.10, 0.115, "shirt"),
        Capsule("neck", (0.0, 0.46, -0.01), (0.0, 0.60, 0.0), 0.055, "skin"),
        Capsule("head", (0.0, 0.65, 0.015), (0.0, 0.74, 0.0), 0.095, "face"),
    ]  # fmt: skip
    limbs = (
        ("collar", "shoulder", 0.075, "shirt"), ("shoulder", "elbow", 0.055, "shirt"),
        ("elbow", "wrist", 0.042, "skin"), ("wrist", "hand", 0.036, "skin"),
        ("hip", "knee", 0.085, "trousers"), ("knee", "ankle", 0.06, "trousers"), ("ankle", "foot", 0.048, "shoe"),
    )  # fmt: skip
    ends = (("hand", (0.07, 0.0, 0.0), 0.03, "skin"), ("foot", (0.0, 0.0, 0.07), 0.042, "shoe"))
    for side, sign in (("left", 1), ("right", -1)):
        for start, end, radius, cloth in limbs:
            joint = f"{side}_{start}"
            capsules.append(Capsule(joint, _point(at[joint]), _point(at[f"{side}_{end}"]), radius, cloth))
        for name, reach, radius, cloth in ends:
            joint = f"{side}_{name}"
            tip = at[joint] + np.array(reach) * (sign, 1, 1)
            capsules.append(Capsule(joint, _point(at[joint]), _point(tip), radius, cloth))
    return capsules


def _point(position: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    x, y, z = position.tolist()
    return x, y, z


def mesh(capsules: list[Capsule]) -> BodyTemplate:
    """A closed mesh of each capsule's surface, moved by its joint alone; texture charts lie in a square of tiles."""
    vertices, faces, joints, uv = [], [], [], []
    tiles = int(np.ceil(len(capsules) ** 0.5))
    for index, capsule in enumerate(capsules):
        first = sum(map(len, vertices))
        points, chart, triangles = _capsule_mesh(capsule)
        vertices.append(points)
        uv.append((np.array([index % tiles, index // tiles]) + 0.05 + 0.9 * chart) / tiles)
        faces.append(triangles + first)
        joints.append(np.full(len(points), SMPL_JOINTS.index(capsule.joint)))
    return BodyTemplate(
        vertices=torch.from_numpy(np.concatenate(vertices)).float(),
        faces=torch.from_numpy(np.concatenate(faces)),
        lbs_weights=torch.eye(len(SMPL_JOINTS))[np.concatenate(joints)],
        joints=torch.from_numpy(rest_joints()).float(),
        parents=PARENTS,
        joint_names=SMPL_JOINTS,
        uv=torch.from_numpy(np.concatenate(uv)).float(),
    )


def _capsule_mesh(
    capsule: Capsule,
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 2"], Int[np.ndarray, "M 3"]]:
    """Vertices, texture coordinates in [0, 1] and outward faces: rings of vertices from one tip to the other."""
    length = float(np.linalg.norm(np.subtract(capsule.end, capsule.start)))
    cap = np.deg2rad(np.arange(1, _RINGS) * 90 / _RINGS)
    n_between = max(2, round(length / _SPACING) + 1)
    radius = capsule.radius * np.concatenate([np.sin(cap), np.ones(n_between), np.sin(cap)[::-1]])
    past = capsule.radius * np.cos(cap)
    height = np.concatenate([-past, np.linspace(0, length, n_between), length + past[::-1]])
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    rings = np.concatenate([radius[:, None, None] * circle, np.repeat(height, _AROUND).reshape(-1, _AROUND, 1)], 2)
    tips = np.array([[0, 0, -capsule.radius], [0, 0, length + capsule.radius]])
    local = np.concatenate([rings.reshape(-1, 3), tips])
    around = np.append(np.tile(np.arange(_AROUND) / (_AROUND - 1), len(rings)), [0.5, 0.5])
    chart = np.stack([around, (local[:, 2] + capsule.radius) / (length + 2 * capsule.radius)], 1)

    here = np.arange(_AROUND)
    after = (here + 1) % _AROUND
    bottom, top = np.full_like(here, len(local) - 2), np.full_like(here, len(local) - 1)
    triangles = [np.stack([after, here, bottom], 1)]
    for low in range(0, (len(rings) - 1) * _AROUND, _AROUND):
        high = low + _AROUND
        triangles.append(np.stack([low + here, low + after, high + after], 1))
        triangles.append(np.stack([low + here, high + after, high + here], 1))
    last = (len(rings) - 1) * _AROUND
    triangles.append(np.stack([last + here, last + after, top], 1))
    return np.array(capsule.start) + local @ capsule.frame, chart, np.concatenate(triangles)


class Wardrobe:
    """Colours as functions of the rest position on a capsule."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.shirt, self.stripe, self.trousers, self.shoe = rng.uniform(0.2, 0.9, (4, 3))
        self.skin = np.array([0.85, 0.65, 0.52]) * rng.uniform(0.6, 1.1)
        self.hair = np.array([0.2, 0.13, 0.08]) * rng.uniform(0.5, 2)

    def colours(self, cloth: str, rest: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """Albedo in [0, 1] at rest positions (m)."""
        x, y, z = rest.T
        plain = np.ones((len(rest), 1))
        if cloth == "shirt":
            striped = (np.sin(70 * y + 25 * np.abs(x)) > 0)[:, None]
            badge = ((x - 0.06) ** 2 + (y - 0.34) ** 2 < 0.03**2) & (z > 0)
            cloth_colour = np.where(striped, self.shirt, self.stripe)
            colour = np.where(badge[:, None], 1 - self.shirt, cloth_colour)
        elif cloth == "trousers":
            colour = self.trousers * (0.8 + 0.2 * np.sign(np.sin(60 * x) * np.sin(60 * y)))[:, None]
        elif cloth == "shoe":
            colour = np.where((y < -0.925)[:, None], 0.95, self.shoe)
        elif cloth == "face":
            hairy = (y > 0.76) | (z < -0.02)
            eyes = (np.abs(np.abs(x) - 0.035) < 0.013) & (np.abs(y - 0.705) < 0.012) & (z > 0)
            mouth = (np.abs(x) < 0.03) & (np.abs(y - 0.635) < 0.008) & (z > 0)
            colour = np.where(hairy[:, None], self.hair, self.skin)
            colour = np.where(eyes[:, None], 0.05, np.where(mouth[:, None], [0.6, 0.15, 0.15], colour))
        else:
            colour = self.skin
        return np.clip(colour * plain, 0, 1)


def intersect(
    rays_o: Float[np.ndarray, "N 3"],
    rays_d: Float[np.ndarray, "N 3"],
    start: Float[np.ndarray, "3"],
    end: Float[np.ndarray, "3"],
    radius: float,
) -> Float[np.ndarray, "N"]:
    """Distance (m) along unit directions to a capsule's surface from outside; infinite where it is missed.

    A ray meets the infinite cylinder where a quadratic in the distance vanishes; if that point lies beyond an end of
    the axis, the ray can only meet the sphere about that end.
    """
    axis = end - start
    length = np.linalg.norm(axis)
    axis = axis / length
    offset = rays_o - start
    d, o = rays_d @ axis, offset @ axis
    a = 1 - d * d
    b = np.einsum("nk,nk->n", rays_d, offset) - d * o
    c = np.einsum("nk,nk->n", offset, offset) - o * o - radius**2
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (-b - np.sqrt(b * b - a * c)) / a
        height = o + t * d
    side = (height >= 0) & (height <= length)
    result = np.where(side & (t > 0), t, np.inf)
    for centre in (start, end):
        away = rays_o - centre
        half = np.einsum("nk,nk->n", rays_d, away)
        with np.errstate(invalid="ignore"):
            t = -half - np.sqrt(half * half - np.einsum("nk,nk->n", away, away) + radius**2)
        beyond = (o + t * d < 0) if centre is start else (o + t * d > length)
        result = np.minimum(result, np.where(beyond & (t > 0), t, np.inf))
    return result


def render(
    capsules: list[Capsule],
    wardrobe: Wardrobe,
    world_from_rest: Float[np.ndarray, "24 4 4"],
    camera: Camera,
    supersample: int = 2,
) -> tuple[UInt8[np.ndarray, "H W 3"], Float[np.ndarray, "H W"], Int[np.ndarray, "H W"]]:
    """The picture on black, the coverage in [0, 1], and the capsule at each pixel's centre (-1: none).

    One distant light from above the front and some ambient light; averaged over supersample^2 rays a pixel.
    """
    height, width = camera.height, camera.width
    offset = (np.arange(supersample) + 0.5) / supersample - 0.5
    x = (np.arange(width)[:, None] + offset).ravel()
    y = (np.arange(height)[:, None] + offset).ravel()
    pixels = torch.from_numpy(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)).float()
    rays_o, rays_d = (rays.double().numpy() for rays in camera.rays(pixels))

    depth, seen = np.full(len(pixels), np.inf), np.full(len(pixels), -1)
    for index, capsule in enumerate(capsules):
        move = world_from_rest[SMPL_JOINTS.index(capsule.joint)]
        start, end = (move[:3, :3] @ np.array(p) + move[:3, 3] for p in (capsule.start, capsule.end))
        near = _around(camera, np.stack([start, end]), capsule.radius, x, y)
        hit = intersect(rays_o[near], rays_d[near], start, end, capsule.radius)
        closer = near[hit < depth[near]]
        depth[closer], seen[closer] = hit[hit < depth[near]], index

    colour = np.zeros((len(pixels), 3))
    for index in np.unique(seen[seen >= 0]):
        rows, capsule = np.flatnonzero(seen == index), capsules[index]
        move = world_from_rest[SMPL_JOINTS.index(capsule.joint)]
        point = rays_o[rows] + depth[rows, None] * rays_d[rows]
        rest = (point - move[:3, 3]) @ move[:3, :3]
        axis = np.subtract(capsule.end, capsule.start)
        along = np.clip((rest - capsule.start) @ axis / (axis @ axis), 0, 1)
        normal = (rest - capsule.start - along[:, None] * axis) / capsule.radius @ move[:3, :3].T
        shade = 0.65 + 0.35 * np.clip(normal @ _LIGHT, 0, 1)
        colour[rows] = wardrobe.colours(capsule.cloth, rest) * shade[:, None]

    blocks = (height, supersample, width, supersample)
    image = colour.reshape(*blocks, 3).mean((1, 3))
    coverage = (seen >= 0).reshape(blocks).mean((1, 3)).astype(np.float32)
    centre = seen.reshape(blocks)[:, supersample // 2, :, supersample // 2]
    return np.rint(image * 255).astype(np.uint8), coverage, centre


def _around(
    camera: Camera,
    segment: Float[np.ndarray, "2 3"],
    radius: float,
    x: Float[np.ndarray, "W"],
    y: Float[np.ndarray, "H"],
) -> Int[np.ndarray, "M"]:
    """Positions, in the grid of rays at ascending x and y (pixels), of those that can touch a capsule."""
    ends = camera.project(torch.from_numpy(segment).float()).numpy()
    reach = 1.5 * radius * float(camera.K[0, 0]) / ends[:, 2].min()  # wider than the silhouette in perspective
    left, top = ends[:, :2].min(0) - reach
    right, bottom = ends[:, :2].max(0) + reach
    columns = np.arange(*np.searchsorted(x, (left, right)))
    rows = np.arange(*np.searchsorted(y, (top, bottom)))
    return (rows[:, None] * len(x) + columns).ravel()


def lip_class(joint: str) -> int:
    """The LIP class of what a joint moves."""
    part = list(INSTANT_NVR_PARTS)[part_of_joints(SMPL_JOINTS, INSTANT_NVR_PARTS)[SMPL_JOINTS.index(joint)]]
    classes = {"body": 5, "head": 13, "larm": 14, "rarm": 15, "leg": 16 if joint.startswith("left") else 17}
    return classes[part]


def motion(n_frames: int, rng: np.random.Generator, novel: bool) -> list[BodyPose]:
    """A person who walks on the spot, swings the arms and turns round once; `novel` is livelier."""
    wave = 2 * np.pi * (3 if novel else 2) * np.arange(n_frames) / n_frames
    size = rng.uniform(0.6, 1.0, 3) * (1.2 if novel else 1.0)
    poses = np.zeros((n_frames, len(SMPL_JOINTS), 3))

    def turn(joint: str, axis: int, angle: np.ndarray) -> None:
        poses[:, SMPL_JOINTS.index(joint), axis] = angle

    for side, sign in (("left", 1), ("right", -1)):
        turn(f"{side}_hip", 0, -0.4 * sign * size[0] * np.sin(wave))
        turn(f"{side}_knee", 0, 0.3 * size[0] * (1 + sign * np.sin(wave + 0.5)))
        turn(f"{side}_shoulder", 2, sign * (-0.9 + 0.35 * size[1] * np.sin(wave / 2 + 0.3 * sign)))
        turn(f"{side}_shoulder", 1, 0.4 * sign * size[2] * np.sin(wave))
        turn(f"{side}_elbow", 1, -0.5 * sign * size[1] * (1 + np.sin(wave + sign)))
    turn("spine1", 1, 0.2 * np.sin(wave / 2))
    turn("spine2", 0, 0.1 * np.sin(wave))
    turn("neck", 1, 0.3 * np.sin(wave / 2))
    facing = rng.uniform(0, 2 * np.pi) if novel else 0.0
    yaw = facing + 2 * np.pi * np.arange(n_frames) / n_frames
    sway = np.stack([0.06 * np.sin(wave / 2), 0.015 * np.sin(wave), 0.04 * np.cos(wave / 2)], 1)
    return [
        BodyPose(
            torch.from_numpy(pose).float(),
            torch.tensor([0.0, _wrapped(angle), 0.0]),
            torch.from_numpy(shift).float(),
        )
        for pose, angle, shift in zip(poses, yaw, sway)
    ]


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def ring_camera(index: int, count: int, size: int) -> Camera:
    """One of `count` cameras on a circle around the mannequin, alternately a little above and below its middle."""
    azimuth, elevation = 2 * np.pi * index / count, 0.05 if index == 0 else 0.12 * (-1) ** index
    away = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.cross(-away, [0, 1, 0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(-away, right), -away])
    eye = np.array([0.0, -0.05, 0.0]) + 2.9 * away
    K = np.array([[1.3 * size, 0, size / 2 - 0.5], [0, 1.3 * size, size / 2 - 0.5], [0, 0, 1]])
    K, R, T = (torch.from_numpy(x).float() for x in (K, R, -R @ eye))
    return Camera(K, R, T, size, size)


class SyntheticScene:
    """Renders a mannequin into a subject folder: camera 0 is for training, and frames from `n_frames` on are unseen.

    Args:
        seed: of the clothes' colours and the motion.
        n_frames: training frames.
        n_novel: frames of unseen poses.
        n_cameras: around the person; all but the first see every `test_every`-th frame only.
        size: side of the square pictures (pixels).
    """

    def __init__(self, seed: int, n_frames: int, n_novel: int, n_cameras: int, test_every: int, size: int) -> None:
        self.settings = {
            "version": VERSION, "seed": seed, "frames": n_frames, "novel": n_novel, "cameras": n_cameras,
            "test_every": test_every, "size": size,
        }  # fmt: skip

    def prepare(self, root: str | Path) -> None:
        """Makes the scene in the folder `root`, unless it lies there already, made with the same settings."""
        root = Path(root)
        stamp = root / "scene.json"
        if stamp.exists() and files.load_json(stamp) == self.settings:
            return
        stamp.unlink(missing_ok=True)  # written last: a folder without it is not finished
        self.write(SubjectWriter(root))
        files.save_json(stamp, self.settings)

    def write(self, writer: SubjectWriter) -> None:
        """Writes everything but scene.json."""
        settings = self.settings
        rng = np.random.default_rng(settings["seed"])
        capsules, wardrobe = mannequin(), Wardrobe(rng)
        template = mesh(capsules)
        poses = motion(settings["frames"], rng, novel=False) + motion(settings["novel"], rng, novel=True)
        cameras = [ring_camera(index, settings["cameras"], settings["size"]) for index in range(settings["cameras"])]
        labels = np.array([*(lip_class(capsule.joint) for capsule in capsules), 0], np.uint8)
        for frame, pose in enumerate(track(poses, "rendering the synthetic scene")):
            world_from_posed = pose.world_from_posed()
            world_from_rest = (world_from_posed @ template.bone_transforms(pose.body_pose)).double().numpy()
            writer.write_pose(frame, pose)
            writer.write_vertices(
                frame, skinning.transform(world_from_posed, template.pose_vertices(pose.body_pose)).numpy()
            )
            for index, camera in enumerate(cameras):
                if index and frame % settings["test_every"]:
                    continue
                image, coverage, seen = render(capsules, wardrobe, world_from_rest, camera)
                writer.write_image(index, frame, image)
                writer.write_mask(index, frame, coverage)
                writer.write_parts(index, frame, labels[seen])
        writer.write_template(template)
        rows = [[writer.image_path(index, frame) for index in range(len(cameras))] for frame in range(len(poses))]
        writer.write_annots(cameras, [np.zeros(5)] * len(cameras), rows)
        writer.update_meta(body_model="mannequin of capsules", made_by={"synthetic": self.settings})
