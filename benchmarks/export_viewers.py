"""Exports avatars, opens them in real programs, and compares what these show with the runs.

python benchmarks/export_viewers.py RUN ... [--data-root SUBJECT ...] [--blender FOLDER] [--npm FOLDER] [--pictures DIR]

It exports each run (`python -m hashhuman.export run=RUN format=[glb,html]`) into a folder of its own, and prints what
that cost and what gltf-validator finds. The next table has a line for each program: the largest distance of a joint
from the run's own (mm) at five times of the clip, and the same for the corners of the mesh's box. trimesh reads no skin
and no clip, so its line is about the rest pose. The last table is of `export_pictures.py`: the page's pictures and
the field's own.

three.js and Babylon.js run in a headless Chromium (Debian's package, or any on the path) that Playwright drives.
Babylon.js and gltf-validator come from npm, into the folder --npm if it is given. Blender is the package bpy, from the
folder --blender if it is installed apart (`pip install --target FOLDER bpy`).
"""

import argparse
import base64
import contextlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from export_pictures import compared
from omegaconf import OmegaConf

from hashhuman.export import glb
from hashhuman.export.motion import captured
from hashhuman.training import run

MOMENTS = 5
NPM = {"babylonjs": "9.28.0", "babylonjs-loaders": "9.28.0", "gltf-validator": "2.0.0-dev.3.10"}  # Apache-2.0
CHROMIUM = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
BLENDER = """
import json, sys
import bpy
path, moments = sys.argv[-2], json.loads(sys.argv[-1])
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=path)
armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
mesh = next(o for o in bpy.data.objects if o.type == "MESH" and o.find_armature())
rate, found = bpy.context.scene.render.fps, []
for moment in moments:
    frame = moment * rate
    bpy.context.scene.frame_set(int(frame), subframe=frame - int(frame))
    graph = bpy.context.evaluated_depsgraph_get()
    joints = {b.name: list((armature.matrix_world @ b.matrix).translation) for b in armature.pose.bones}
    posed = mesh.evaluated_get(graph)
    corners = [posed.matrix_world @ v.co for v in posed.data.vertices]
    box = [[f(c[i] for c in corners) for i in range(3)] for f in (min, max)]
    found.append({"joints": joints, "box": box})
print("FOUND" + json.dumps({"version": bpy.app.version_string, "fps": rate, "moments": found}))
"""


VALIDATOR = """
const validator = require("gltf-validator"), fs = require("fs");
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1]))).then((report) =>
  console.log(JSON.stringify({ ...report.issues, triangles: report.info.totalTriangleCount })));
"""
BABYLON = """async ([content, moments]) => {
  const engine = new BABYLON.Engine(document.createElement("canvas"));
  const scene = new BABYLON.Scene(engine);
  scene.useRightHandedSystem = true; // as glTF is; otherwise the loader mirrors the file
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const file = new File([bytes], "avatar.glb");
  const loaded = await BABYLON.SceneLoader.ImportMeshAsync("", "", file, scene);
  const clip = loaded.animationGroups[0], mesh = loaded.meshes.find((each) => each.skeleton);
  clip.start(false); clip.pause();
  const rate = clip.targetedAnimations[0].animation.framePerSecond, found = [];
  for (const moment of moments) {
    clip.goToFrame(moment * rate);
    loaded.transformNodes.forEach((node) => node.computeWorldMatrix(true));
    mesh.skeleton.prepare(true);
    const joints = Object.fromEntries(loaded.transformNodes.map((node) =>
      [node.name, node.getAbsolutePosition().asArray()]));
    const places = mesh.getPositionData(true, true), box = [[1e9, 1e9, 1e9], [-1e9, -1e9, -1e9]];
    for (let i = 0; i < places.length; i++) {
      box[0][i % 3] = Math.min(box[0][i % 3], places[i]);
      box[1][i % 3] = Math.max(box[1][i % 3], places[i]);
    }
    found.push({ joints, box });
  }
  return { version: BABYLON.Engine.Version, found };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data-root", nargs="+", help="the subject folder of each run, if they have moved")
    parser.add_argument("--blender", type=Path, help="folder in which bpy is installed")
    parser.add_argument("--npm", type=Path, help="folder that keeps the packages of npm")
    parser.add_argument("--pictures", type=Path, help="folder for the compared pictures")
    given = parser.parse_args()
    roots = given.data_root or [None] * len(given.runs)
    subjects = [loaded(run_folder, root) for run_folder, root in zip(given.runs, roots, strict=True)]
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        npm = packages(given.npm or Path(temporary) / "npm")
        folders = {name: Path(temporary) / name for name, *_ in subjects}
        print("| run | CPU (s) | MB | triangles | gltf-validator: errors | warnings | infos | hints |")
        print("|---|---|---|---|---|---|---|---|")
        sound = [
            exported(npm, folders[name], path, root) for (name, *_), path, root in zip(subjects, given.runs, roots)
        ]
        print("\n| run | program | joints (mm) | box (mm) |\n|---|---|---|---|")
        for name, module, datamodule in subjects:
            programs(given.blender, npm, browser, name, folders[name], module.avatar, datamodule)
        print("\n| run | frame | IoU of outlines | PSNR in the overlap (dB) |\n|---|---|---|---|")
        for name, module, datamodule in subjects:
            motion = captured(module.avatar, datamodule, 30.0)
            with opened(browser, folders[name]) as page:
                compared(page, name, module.avatar, datamodule, motion, moments_of(motion), given.pictures)
    if not all(sound):
        sys.exit("gltf-validator finds fault with a file.")


def loaded(folder: Path, root: str | None) -> tuple[str, Any, Any]:
    """A run's name, its module and its data module."""
    module, datamodule, _ = run.load(folder, OmegaConf.create({"data": {"root": root}} if root else {}))
    return folder.resolve().name, module, datamodule


def moments_of(motion) -> np.ndarray:
    """Five positions in a motion, evenly spaced."""
    return np.linspace(0, len(motion.times) - 1, MOMENTS).round().astype(int)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Any, folder: Path) -> Iterator[Any]:
    """The exported page, when its viewer is ready."""
    page = browser.new_page(viewport={"width": 960, "height": 640})
    page.goto((folder / "avatar.html").resolve().as_uri())
    while not page.evaluate("window.viewer !== undefined"):  # the page's policy forbids `wait_for_function`
        page.wait_for_timeout(100)
    yield page
    page.close()


def packages(folder: Path) -> Path:
    """The folder of npm's packages, which are installed if they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = folder / "node_modules"
    if not all((modules / name).is_dir() for name in NPM):
        wanted = [f"{name}@{version}" for name, version in NPM.items()]
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *wanted]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return modules


def exported(npm: Path, folder: Path, path: Path, root: str | None) -> bool:
    """Exports a run; whether the validator finds neither errors nor warnings."""
    words = [f"run={path.absolute()}", "format=[glb,html]", f"out={folder}", *([f"data.root={root}"] if root else [])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "hashhuman.export", *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    file = folder / "avatar.glb"
    command = ["node", "-e", VALIDATOR, str(file.absolute())]
    done = subprocess.run(command, cwd=npm.parent, check=True, capture_output=True, text=True)
    report = json.loads(done.stdout)
    counts = [report[f"num{kind}"] for kind in ("Errors", "Warnings", "Infos", "Hints")]
    size = file.stat().st_size / 1e6
    row(folder.name, f"{seconds:.0f}", f"{size:.1f}", report["triangles"], *counts)
    return not any(counts[:2])


def programs(bpy: Path | None, npm: Path, browser: Any, name: str, folder: Path, avatar, datamodule) -> None:
    """Rows of the programs that open the file of one run."""
    motion, path = captured(avatar, datamodule, 30.0), folder / "avatar.glb"
    index = moments_of(motion)
    moments = motion.times[index].tolist()
    joints, boxes = own_joints(datamodule, motion, index), file_boxes(path, moments)
    row(name, "the file's numbers", f"{joints_apart(joints_of(path, moments), joints):.3f}", "-")
    for program, found, box in (
        blender(bpy, path, moments), three(browser, folder, moments), babylon(browser, npm, path, moments),
    ):  # fmt: skip
        row(name, program, f"{joints_apart(found, joints):.3f}", f"{1000 * np.abs(box - boxes).max():.3f}")
    row(name, *trimesh_at_rest(path))


def row(*cells: Any) -> None:
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def own_joints(datamodule, motion, index) -> dict[str, np.ndarray]:
    """The run's joints (m), where the file has them: name -> moments x 3."""
    template, move = datamodule.subject.template(), motion.exported_from_world
    found = []
    frames = sorted({p.frame for name in ("train", "heldout") for p in datamodule.splits[name]})
    for i in index:
        pose = datamodule.subject.pose(frames[i])
        bones = pose.world_from_posed() @ template.bone_transforms(pose.body_pose)
        world = (bones[:, :3, :3] @ template.joints[..., None])[..., 0] + bones[:, :3, 3]
        found.append(world.double().numpy() @ move[:3, :3].T + move[:3, 3])
    return dict(zip(template.joint_names, np.stack(found, 1)))


def read(path: Path) -> tuple[dict, bytes]:
    """The description and the buffer of a GLB."""
    content = path.read_bytes()
    size = int.from_bytes(content[12:16], "little")
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def accessor(description: dict, buffer: bytes, index: int) -> np.ndarray:
    """An array of a GLB."""
    names = {code: name for name, code in glb.COMPONENTS.items()}
    shapes = {name: shape for shape, name in glb.SHAPES.items()}
    entry = description["accessors"][index]
    view, shape = description["bufferViews"][entry["bufferView"]], shapes[entry["type"]]
    count = entry["count"] * int(np.prod(shape))
    return np.frombuffer(buffer, names[entry["componentType"]], count, view["byteOffset"]).reshape(
        entry["count"], *shape
    )


def transforms(path: Path, moments: list[float]) -> tuple[dict, bytes, np.ndarray]:
    """Global transforms of all nodes at the moments, from the file's numbers alone."""
    from scipy.spatial.transform import Rotation, Slerp

    description, buffer = read(path)
    nodes, clip = description["nodes"], description["animations"][0]
    local = np.tile(np.eye(4), (len(moments), len(nodes), 1, 1))
    for i, node in enumerate(nodes):
        local[:, i, :3, 3] = node.get("translation", [0, 0, 0])
    for channel in clip["channels"]:
        sampler, node = clip["samplers"][channel["sampler"]], channel["target"]["node"]
        times, values = (accessor(description, buffer, sampler[key]).astype(float) for key in ("input", "output"))
        if channel["target"]["path"] == "rotation":
            local[:, node, :3, :3] = Slerp(times, Rotation.from_quat(values))(
                np.clip(moments, 0, times[-1])
            ).as_matrix()
        else:
            local[:, node, :3, 3] = np.stack([np.interp(moments, times, axis) for axis in values.T], 1)
    for i, node in enumerate(nodes):
        for child in node.get("children", []):
            assert child > i
            local[:, child] = local[:, i] @ local[:, child]
    return description, buffer, local


def joints_of(path: Path, moments: list[float]) -> dict[str, np.ndarray]:
    description, _, world = transforms(path, moments)
    return {node["name"]: world[:, i, :3, 3] for i, node in enumerate(description["nodes"])}


def file_boxes(path: Path, moments: list[float]) -> np.ndarray:
    """The box of the skinned mesh (m) at the moments, by the formula of the glTF specification: moments x 2 x 3."""
    description, buffer, world = transforms(path, moments)
    skin, attributes = description["skins"][0], description["meshes"][0]["primitives"][0]["attributes"]
    inverse = accessor(description, buffer, skin["inverseBindMatrices"]).astype(float).swapaxes(1, 2)
    position, joint, weight = (
        accessor(description, buffer, attributes[name]) for name in ("POSITION", "JOINTS_0", "WEIGHTS_0")
    )
    boxes = []
    for at in world[:, skin["joints"]] @ inverse:
        maps = np.einsum("vk,vkab->vab", weight.astype(float), at[joint])
        posed = np.einsum("vab,vb->va", maps[:, :3, :3], position.astype(float)) + maps[:, :3, 3]
        boxes.append([posed.min(0), posed.max(0)])
    return np.array(boxes)


def joints_apart(joints, own) -> float:
    """The largest distance of a joint from the run's own (mm)."""
    return 1000 * max(np.linalg.norm(np.asarray(joints[joint]) - own[joint], axis=-1).max() for joint in own)


Found = tuple[str, dict[str, np.ndarray], np.ndarray]  # the program, joints by name (moments x 3), moments x 2 x 3


def blender(bpy: Path | None, path: Path, moments: list[float]) -> Found:
    code = (f"import sys; sys.path.insert(0, {str(bpy)!r})\n" if bpy else "") + BLENDER
    command = [sys.executable, "-c", code, str(path), json.dumps(moments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((text for text in done.stdout.splitlines() if text.startswith("FOUND")), None)
    if line is None:
        sys.exit(f"Blender does not run: {done.stderr}")
    found = json.loads(line.removeprefix("FOUND"))
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)  # from z up to y up
    joints, boxes = gathered(found["moments"])
    turned = {name: at @ turn.T for name, at in joints.items()}
    return f"Blender {found['version']}, scene of {found['fps']} frames/s", turned, np.sort(boxes @ turn.T, axis=1)


def three(browser: Any, folder: Path, moments: list[float]) -> Found:
    with opened(browser, folder) as page:
        look = "t => ({ joints: viewer.joints(t), box: viewer.bounds(t) })"
        found = [page.evaluate(look, moment) for moment in moments]
    return f"three.js, Chromium {browser.version}", *gathered(found)


def babylon(browser: Any, npm: Path, path: Path, moments: list[float]) -> Found:
    page = browser.new_page()
    for script in ("babylonjs/babylon.js", "babylonjs-loaders/babylonjs.loaders.min.js"):
        page.add_script_tag(path=npm / script)
    found = page.evaluate(BABYLON, [base64.b64encode(path.read_bytes()).decode(), moments])
    page.close()
    return f"Babylon.js {found['version']}, Chromium {browser.version}", *gathered(found["found"])


def gathered(found: list[dict]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Joints by name and boxes of what a program says at each moment."""
    names = found[0]["joints"]
    joints = {name: np.array([moment["joints"][name] for moment in found]) for name in names}
    return joints, np.array([moment["box"] for moment in found])


def trimesh_at_rest(path: Path) -> tuple[str, str, str]:
    """trimesh's row, against the file's own numbers: joints at rest, and the box of the vertices as they are stored."""
    import trimesh

    scene, (description, buffer) = trimesh.load_scene(path), read(path)
    skin, attributes = description["skins"][0], description["meshes"][0]["primitives"][0]["attributes"]
    inverse = accessor(description, buffer, skin["inverseBindMatrices"]).astype(float).swapaxes(1, 2)
    rest = np.linalg.inv(inverse)[:, :3, 3]
    names = [description["nodes"][joint]["name"] for joint in skin["joints"]]
    found = np.array([scene.graph.get(name)[0][:3, 3] for name in names])
    position = accessor(description, buffer, attributes["POSITION"])
    box = np.abs(scene.bounds - [position.min(0), position.max(0)]).max()
    apart = np.linalg.norm(found - rest, axis=1).max()
    return f"trimesh {trimesh.__version__}, at rest", f"{1000 * apart:.3f}", f"{1000 * box:.3f}"


if __name__ == "__main__":
    main()
