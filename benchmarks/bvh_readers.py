"""Opens the BVH file of a run in other readers, and compares the joints that they find with the run's own.

python benchmarks/bvh_readers.py RUN [--blender FOLDER] [--site FOLDER] [--three FOLDER] [--glb FILE]

The table has the largest distance (mm) of a joint from the run's own over all frames. Readers: ours; bvhio of PyPI
(--site: its folder); three.js' BVHLoader in node (--three: the folder of the npm package `three`); Blender as the
package bpy (--blender: its folder). Then the largest angle (degrees) between the run's motion and the same motion out
and in again, retargeting included, for each format; with --glb, an exported avatar.glb, also through Blender, which
imports it and writes a GLB and a BVH of its own, in its own axes and at 30 frames a second.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from scipy.spatial.transform import Rotation

from hashhuman.animate.clip import Clip
from hashhuman.animate.readers.read import read
from hashhuman.animate.retarget import Retargeting
from hashhuman.export.bvh import bvh
from hashhuman.export.motion import Motion, Skeleton, captured
from hashhuman.export.smpl_npz import smpl_arrays
from hashhuman.io.files import save_npz
from hashhuman.training import run

BVHIO = """
import json, sys
import bvhio
found, root = [], bvhio.readAsHierarchy(sys.argv[-1])
joints = [joint for joint, _, _ in root.layout()]
for frame in range(root.getKeyframeRange()[1] + 1):
    root.loadPose(frame)
    found.append({joint.Name: list(joint.PositionWorld) for joint in joints})
print("FOUND" + json.dumps(found))
"""
BLENDER = """
import json, sys
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_anim.bvh(filepath=sys.argv[-1], axis_forward="-Z", axis_up="Y", use_fps_scale=False)
armature = bpy.context.object
count = int(armature.animation_data.action.frame_range[1])
found = []
for frame in range(1, count + 1):
    bpy.context.scene.frame_set(frame)
    found.append({b.name: list((armature.matrix_world @ b.matrix).translation) for b in armature.pose.bones})
print("FOUND" + json.dumps([{n: [p[0], p[2], -p[1]] for n, p in frame.items()} for frame in found]))
"""
THREE = """
import { readFileSync } from 'node:fs';
import { AnimationMixer, Vector3 } from 'three';
import { BVHLoader } from 'three/examples/jsm/loaders/BVHLoader.js';
const { skeleton, clip } = new BVHLoader().parse(readFileSync(process.argv[2], 'utf8'));
const root = skeleton.bones[0], mixer = new AnimationMixer(root), found = [];
mixer.clipAction(clip).play();
for (const time of clip.tracks[0].times) {
    mixer.setTime(Math.min(time, clip.duration - 1e-5));
    root.updateMatrixWorld(true);
    found.push(Object.fromEntries(skeleton.bones.filter(b => b.name !== 'ENDSITE')
        .map(b => [b.name, b.getWorldPosition(new Vector3()).toArray()])));
}
console.log('FOUND' + JSON.stringify(found));
"""

THROUGH = """
import sys
import bpy
target = sys.argv[-1]
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 30
bpy.ops.import_scene.gltf(filepath=sys.argv[-2])
armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
bpy.context.scene.frame_end = int(bpy.data.actions[0].frame_range[1])
bpy.ops.export_scene.gltf(filepath=target + ".glb")
bpy.context.view_layer.objects.active = armature
bpy.ops.export_anim.bvh(filepath=target + ".bvh", frame_start=0, frame_end=bpy.context.scene.frame_end)
print("FOUND[{}]")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--blender", type=Path)
    parser.add_argument("--site", type=Path)
    parser.add_argument("--three", type=Path)
    parser.add_argument("--glb", type=Path)
    parser.add_argument("--data-root")
    given = parser.parse_args()
    module, datamodule, _ = run.load(
        given.run, OmegaConf.create({"data": {"root": given.data_root}} if given.data_root else {})
    )
    skeleton = Skeleton.of(datamodule.subject.template())
    motion = captured(module.avatar, datamodule, 30.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.bvh"
        path.write_text(bvh(skeleton, motion, 1.0))
        save_npz(path.with_suffix(".npz"), smpl_arrays(skeleton, motion))
        own = dict(zip(skeleton.names, motion.joints(skeleton).swapaxes(0, 1)))
        print(f"{len(motion.times)} frames, {len(skeleton.names)} joints\n\n| reader | joints (mm) |\n|---|---|")
        clip = read(path)
        row("hashhuman.animate.readers.bvh", dict(zip(clip.names, clip.positions.swapaxes(0, 1))), own)
        row("bvhio", found([*python(given.site), BVHIO, str(path)], path), own)
        script = Path(folder) / "read.mjs"
        script.write_text(THREE)
        if given.three:
            (Path(folder) / "node_modules").symlink_to(given.three.resolve().parent)
        node = shutil.which("node") or "node"
        row("three.js, BVHLoader", found([node, str(script), str(path)], path), own)
        row("Blender", found([*python(given.blender), BLENDER, str(path)], path), own)
        print("\n| out and in again | angle (degrees) | root (mm) |\n|---|---|---|")
        for kind in ("bvh", "npz"):
            again(kind, read(path.with_suffix(f".{kind}")), motion, skeleton)
        if given.glb:
            through_blender(given, Path(folder))


def through_blender(given, folder: Path) -> None:
    """Prints how far the clip of a GLB is from what Blender makes of it."""
    clip = read(given.glb).sampled(30.0, 0.0, None)
    skeleton = Skeleton(clip.names, clip.parents, clip.joints, np.zeros(3))
    motion = Retargeting()("clip", clip, skeleton)
    made = found([*python(given.blender), THROUGH, str(given.glb), str(folder / "blender")], folder)
    for kind in ("glb", "bvh"):
        if isinstance(made, str):
            print(f"| {kind} through Blender | not run: {made} | |")
        else:
            again(
                f"{kind} through Blender", read(folder / f"blender.{kind}").sampled(30.0, 0.0, None), motion, skeleton
            )


def again(name: str, clip: Clip, motion: Motion, skeleton: Skeleton) -> None:
    """Prints how far a clip, retargeted to the skeleton that it came from, is from the motion that it was."""
    other = Retargeting()(name, clip, skeleton)
    count = min(len(other.times), len(motion.times))
    turns = [Rotation.from_quat(m.rotations[:count].reshape(-1, 4)) for m in (other, motion)]
    angle = np.degrees((turns[0].inv() * turns[1]).magnitude()).max()
    root = 1000 * np.abs(other.root[:count] - motion.root[:count]).max()
    print(f"| {name} | {angle:.5f} | {root:.4f} |", flush=True)


def python(folder: Path | None) -> list[str]:
    """How to run a script that needs the packages of a folder."""
    path = f"import sys; sys.path.insert(0, {str(folder)!r})\n" if folder else "import sys\n"
    return [sys.executable, "-c", path + "exec(sys.argv.pop(1))"]


def found(command: list[str], path: Path) -> dict[str, np.ndarray] | str:
    """Joints by name, frames x 3, that a program prints; or why it does not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    line = next((text for text in done.stdout.splitlines() if text.startswith("FOUND")), None)
    if line is None:
        return (done.stderr.strip().splitlines() or ["nothing was printed"])[-1]
    frames = json.loads(line.removeprefix("FOUND"))
    return {name: np.array([frame[name] for frame in frames]) for name in frames[0]}


def row(reader: str, joints: dict[str, np.ndarray] | str, own: dict[str, np.ndarray]) -> None:
    if isinstance(joints, str):
        print(f"| {reader} | not run: {joints} |", flush=True)
        return
    missing = [name for name in own if name not in joints or joints[name].shape != own[name].shape]
    if missing:
        print(f"| {reader} | lacks {', '.join(missing)} |", flush=True)
        return
    apart = max(np.linalg.norm(joints[name] - own[name], axis=1).max() for name in own)
    print(f"| {reader} | {1000 * apart:.3f} |", flush=True)


if __name__ == "__main__":
    main()
