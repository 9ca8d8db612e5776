"""Measures wisps and holes of trained avatars, in the canonical pose and in motions that they were never trained on.

    python benchmarks/wisps.py RUN [RUN ...] [--root SUBJECT] [--sheets FOLDER] [--results FOLDER]

Every run is rendered over white: the canonical pose from eight sides, and four poses of each of three motions of
`hashhuman.data.synthetic.motion`, each from another side. The figures are means over these pictures:

    far       share of alpha farther than 4 cm outside the body, which is 2 cm outside clothes of 2 cm
    loose     share of alpha in spots that do not hang together with the body's silhouette
    holes     share of rays through the body that stay below an alpha of 0.5; the outermost 1.5 cm do not count

`--sheets` writes a contact sheet of each run, on which far and loose alpha is red, and holes are blue.
`--results` writes the table as wisps.md to a folder.
"""

import argparse
import dataclasses
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from omegaconf import OmegaConf
from scipy.spatial import KDTree

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.tables import reproducible, table
from hashhuman.body.surface import vertex_normals
from hashhuman.body.template import SMPL_JOINTS, BodyPose, BodyTemplate
from hashhuman.body.visibility import world_vertices
from hashhuman.data.synthetic.motion import motion
from hashhuman.evaluation import drawing
from hashhuman.evaluation.orbit import orbit
from hashhuman.geometry.camera import Camera
from hashhuman.geometry.rays import camera_rays
from hashhuman.io.files import write_image
from hashhuman.training import run
from preprocess.raster import rasterise

HEIGHT = 256  # of the pictures (pixels)
SIDES = 8  # views of the canonical pose
MOTIONS = 3
POSES = 4  # of each motion
CLOTHES, BEYOND = 0.02, 0.02  # metres
RIM = 0.015  # metres of the body's silhouette, at its border, that are no holes
SPOT = 0.1  # least alpha of a spot
CHUNK = 8192  # rays rendered at a time


@dataclasses.dataclass(frozen=True)
class Shot:
    """What one picture shows."""

    rgb: np.ndarray  # H W 3, over white
    alpha: np.ndarray  # H W
    far: np.ndarray  # H W, the part of alpha that is far from the body
    loose: np.ndarray  # H W, the part of alpha in loose spots
    holes: np.ndarray  # H W, bool
    body: np.ndarray  # H W, bool: rays through the body

    def figures(self) -> dict[str, float]:
        """The shares (%)."""
        total = max(float(self.alpha.sum()), 1e-6)
        return {
            "far %": 100 * float(self.far.sum()) / total,
            "loose %": 100 * float(self.loose.sum()) / total,
            "holes %": 100 * float(self.holes.sum()) / max(int(self.body.sum()), 1),
        }


def situations(template: BodyTemplate, filmed: BodyPose) -> Iterator[tuple[str, BodyPose, int]]:
    """What is rendered: the name of the group, the pose, and the side (of SIDES) that is shown."""
    canonical = BodyPose(template.big_pose(), filmed.orient, filmed.transl)
    yield from (("canonical", canonical, side) for side in range(SIDES))
    order = [SMPL_JOINTS.index(name) for name in template.joint_names]
    for seed in range(MOTIONS):
        poses = motion(4 * POSES, np.random.default_rng(seed), novel=True)[::4]
        for i, pose in enumerate(poses):
            yield "motions", BodyPose(pose.body_pose[order], filmed.orient, filmed.transl), (3 * i + seed) % SIDES


@torch.no_grad()
def shot(avatar, template: BodyTemplate, pose: BodyPose, camera: Camera) -> Shot:
    """Renders and measures one picture."""
    vertices = world_vertices(template, pose)
    normals = vertex_normals(vertices, template.faces)
    tree = KDTree(vertices.cpu().numpy())
    scene, rays = avatar.scene([pose]), camera_rays(camera, avatar.device)
    colors, alphas, fars = [], [], []
    for first in range(0, len(rays), CHUNK):
        some = rays[first : first + CHUNK]
        seen = avatar.render_rays(some, scene).rendering
        samples, count = seen.samples, int(seen.samples.start[-1])
        ray, weights = samples.ray[:count], seen.weights[:count]
        x = some.rays_o[ray] + samples.t[:count, None] * some.rays_d[ray]
        distance, nearest = tree.query(x.cpu().numpy())
        distance, nearest = torch.as_tensor(distance, device=x.device), torch.as_tensor(nearest, device=x.device)
        outside = ((x - vertices[nearest]) * normals[nearest]).sum(1) > 0
        away = outside & (distance > CLOTHES + BEYOND)
        fars.append(torch.zeros_like(seen.alpha).index_add(0, ray, weights * away))
        colors.append(seen.color + 1 - seen.alpha[:, None])
        alphas.append(seen.alpha)
    size = camera.height, camera.width
    rgb, alpha, far = (torch.cat(x).cpu().numpy().reshape(*size, -1) for x in (colors, alphas, fars))
    return judged(rgb, alpha[..., 0], far[..., 0], template, vertices, camera)


def judged(
    rgb: np.ndarray, alpha: np.ndarray, far: np.ndarray, template: BodyTemplate, vertices: torch.Tensor, camera: Camera
) -> Shot:
    """Finds loose spots and holes with the body's silhouette."""
    projected = camera.project(vertices).cpu().numpy()
    silhouette = rasterise(projected, template.faces.cpu().numpy(), camera.height, camera.width) >= 0
    radius = max(1, round(RIM * float(camera.K[0, 0]) / float(np.median(projected[:, 2]))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    inner = cv2.erode(silhouette.astype(np.uint8), kernel) > 0
    _, spots = cv2.connectedComponents((alpha > SPOT).astype(np.uint8))
    attached = np.unique(spots[silhouette & (alpha > SPOT)])
    loose = alpha * ((spots > 0) & ~np.isin(spots, attached))
    return Shot(rgb, alpha, far, loose, inner & (alpha < 0.5), inner)


def measured(
    folder: Path, root: str | None, sheets: Path | None, groups: Collection[str] = ("canonical", "motions")
) -> list[dict]:
    """The rows of a run, one for each of the groups."""
    module, data, _ = run.load(folder, None if root is None else OmegaConf.create({"data": {"root": root}}))
    avatar = module.avatar.to("cuda" if torch.cuda.is_available() else "cpu")
    template = data.subject.template().to(avatar.device)
    filmed = data.subject.pose(data.splits["train"][0].frame).to(avatar.device)
    _, up, front = filmed.world_from_posed()[:3, :3].T
    shots: dict[str, list[Shot]] = {}
    for group, pose, side in (one for one in situations(template, filmed) if one[0] in groups):
        pose = pose.to(avatar.device)
        camera = orbit(world_vertices(template, pose), up, front, SIDES, HEIGHT)[side]
        shots.setdefault(group, []).append(shot(avatar, template, pose, camera))
    if sheets is not None:
        cells = [marked(one) for some in shots.values() for one in some]
        write_image(sheets / f"{folder.name}.png", drawing.sheet(cells, columns=SIDES))
    return [{"scene": folder.name, "pictures": group, **mean(some)} for group, some in shots.items()]


def marked(one: Shot) -> np.ndarray:
    """The picture, and below it what was found."""
    grey = np.repeat(1 - 0.3 * one.alpha[..., None], 3, 2)
    wisps = np.clip(4 * (one.far + one.loose), 0, 1)[..., None]
    found = grey * (1 - wisps) + np.array([1.0, 0.0, 0.0]) * wisps
    found[one.holes] = (0, 0, 1)
    return np.concatenate([(255 * np.clip(x, 0, 1)).astype(np.uint8) for x in (one.rgb, found)])


def mean(shots: list[Shot]) -> dict[str, float]:
    """The mean of each figure."""
    rows = [one.figures() for one in shots]
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    """Measures the runs of the command line, and prints and writes their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--root", help="the runs' subject folder, if it has moved")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    parser.add_argument("--results", type=Path, help="folder for wisps.md")
    options = parser.parse_args()
    rows = [row for folder in options.runs for row in measured(folder, options.root, options.sheets)]
    text = table(rows)
    print(text)
    if options.results is not None:
        options.results.mkdir(parents=True, exist_ok=True)
        line = f"`python benchmarks/wisps.py {reproducible(sys.argv[1:])}`"
        (options.results / "wisps.md").write_text(f"# Wisps and holes\n\n{line}\n\n{text}\n")


if __name__ == "__main__":
    main()
