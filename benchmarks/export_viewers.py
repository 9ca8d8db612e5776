"""Opens an exported avatar in real programs, and compares what they show with the run.

python benchmarks/export_viewers.py RUN [--blender FOLDER] [--pictures FOLDER]

RUN must have been exported: `python -m hashhuman.export run=RUN format=[glb,html]`. The table has a line for each
program: the largest distance of a joint from the run's own (mm) at five times of the clip, and the same for the corners
of the mesh's box. Then the page's picture and the field's own, of the same five frames from the camera that filmed
them: overlap of the outlines (IoU) and PSNR where both show the person.

three.js runs in a headless Chromium (Debian's package, or any on the path) that Playwright drives; Blender as the
package bpy, from the folder named by --blender if it is installed apart (`pip install --target FOLDER bpy`).
"""

import argparse
import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from hashhuman.export import glb
from hashhuman.export.motion import captured
from hashhuman.io.files import write_image
from hashhuman.training import run

MOMENTS = 5
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--blender", type=Path, help="folder in which bpy is installed")
    parser.add_argument("--pictures", type=Path, help="folder for the compared pictures")
    parser.add_argument("--data-root", help="the subject folder, if it has moved")
    given = parser.parse_args()
    moved = OmegaConf.create({"data": {"root": given.data_root}} if given.data_root else {})
    module, datamodule, _ = run.load(given.run, moved)
    motion = captured(module.avatar, datamodule, 30.0)
    index = np.linspace(0, len(motion.times) - 1, MOMENTS).round().astype(int)
    moments = motion.times[index].tolist()
    joints = own_joints(datamodule, motion, index)
    vertices = file_vertices(given.run / "export/avatar.glb", moments)
    print("| program | joints (mm) | box (mm) |\n|---|---|---|")
    found = joints_of(given.run / "export/avatar.glb", moments)
    print(f"| the file's numbers | {joints_apart(found, joints):.3f} | - |", flush=True)
    blender(given, moments, joints, vertices)
    with_page(given, module.avatar, datamodule, motion, index, joints, vertices)


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


def file_vertices(path: Path, moments: list[float]) -> np.ndarray:
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


def row(name, joints, own, box, own_box) -> None:
    apart = 1000 * np.abs(np.asarray(box) - own_box).max()
    print(f"| {name} | {joints_apart(joints, own):.3f} | {apart:.3f} |", flush=True)


def joints_apart(joints, own) -> float:
    """The largest distance of a joint from the run's own (mm)."""
    return 1000 * max(np.linalg.norm(np.asarray(joints[joint]) - own[joint], axis=-1).max() for joint in own)


def blender(given, moments, joints, vertices) -> None:
    code = (f"import sys; sys.path.insert(0, {str(given.blender)!r})\n" if given.blender else "") + BLENDER
    command = [sys.executable, "-c", code, str(given.run / "export/avatar.glb"), json.dumps(moments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((text for text in done.stdout.splitlines() if text.startswith("FOUND")), None)
    if line is None:
        print(f"| Blender: not run ({done.stderr.strip().splitlines()[-1:]}) | | |")
        return
    found = json.loads(line.removeprefix("FOUND"))
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)  # from z up to y up
    at = {name: np.array([moment["joints"][name] for moment in found["moments"]]) @ turn.T for name in joints}
    box = np.sort(np.array([moment["box"] for moment in found["moments"]]) @ turn.T, axis=1)
    row(f"Blender {found['version']}, scene of {found['fps']} frames/s", at, joints, box, vertices)


def with_page(given, avatar, datamodule, motion, index, joints, vertices) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("| three.js: not run (no Chromium) | | |")
        return
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        page = browser.new_page(viewport={"width": 960, "height": 640})
        page.goto((given.run / "export/avatar.html").resolve().as_uri())
        while not page.evaluate("window.viewer !== undefined"):  # the page's policy forbids `wait_for_function`
            page.wait_for_timeout(100)
        moments = motion.times[index].tolist()
        found = [page.evaluate("t => viewer.joints(t)", moment) for moment in moments]
        box = [page.evaluate("t => viewer.bounds(t)", moment) for moment in moments]
        at = {name: np.array([moment[name] for moment in found]) for name in joints}
        row(f"three.js, Chromium {browser.version}", at, joints, box, vertices)
        compare_pictures(given, page, avatar, datamodule, motion, index)
        browser.close()


def compare_pictures(given, page, avatar, datamodule, motion, index) -> None:
    frames = sorted({p.frame for name in ("train", "heldout") for p in datamodule.splits[name]})
    pictures = {p.frame: p for name in ("heldout", "train") for p in datamodule.splits[name]}
    print("\n| frame | IoU of outlines | PSNR in the overlap (dB) |\n|---|---|---|")
    for i in index:
        view = datamodule.view(pictures[frames[i]])
        with torch.no_grad():
            field = avatar.render_image(view.camera, view.pose, view.frame)
        shown = page_picture(page, view.camera, motion, float(motion.times[i]))
        color, alpha = field.rgb.numpy(), field.alpha.numpy()
        mesh, solid = shown[..., 3] > 127, alpha > 0.5
        both = mesh & solid
        own = color / np.maximum(alpha, 1e-6)[..., None]
        error = np.square(own.clip(0, 1) - shown[..., :3] / 255)[both].mean()
        print(f"| {frames[i]} | {both.sum() / (mesh | solid).sum():.4f} | {-10 * np.log10(error):.2f} |", flush=True)
        if given.pictures:
            sides = [255 * view.image.numpy(), 255 * color.clip(0, 1), shown[..., :3] * mesh[..., None]]
            write_image(given.pictures / f"{frames[i]:06d}.png", np.concatenate(sides, 1).round().astype(np.uint8))


def page_picture(page, camera, motion, moment: float) -> np.ndarray:
    """The page's mesh from a camera of the run: H x W x 4, 8 bits."""
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = camera.R.numpy(), camera.T.numpy()
    view = np.diag([1.0, -1, -1, 1]) @ world @ np.linalg.inv(motion.exported_from_world)  # OpenGL: y up, z backward
    (fx, _, cx), (_, fy, cy) = camera.K[:2].double().numpy()
    w, h, near, far = camera.width, camera.height, 0.05, 100.0
    projection = [
        [2 * fx / w, 0, 1 - 2 * (cx + 0.5) / w, 0],
        [0, 2 * fy / h, 2 * (cy + 0.5) / h - 1, 0],
        [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
        [0, 0, -1, 0],
    ]
    encoded = page.evaluate(
        """([w, h, projection, view, moment]) => {
            const v = viewer, old = v.scene.background;
            v.playing = false; v.setTime(moment); v.scene.background = null;
            v.ground.visible = v.bones.visible = false;
            v.renderer.setPixelRatio(1); v.renderer.setSize(w, h, false); v.renderer.setClearColor(0, 0);
            const camera = v.camera.clone();
            camera.matrixWorldInverse.fromArray(view); camera.matrixWorld.copy(camera.matrixWorldInverse).invert();
            camera.matrixAutoUpdate = camera.matrixWorldAutoUpdate = false;
            camera.projectionMatrix.fromArray(projection);
            camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
            camera.updateMatrixWorld = () => {};
            v.renderer.render(v.scene, camera);
            const gl = v.renderer.getContext(), pixels = new Uint8Array(w * h * 4);
            gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            let text = ''; for (const value of pixels) text += String.fromCharCode(value);
            v.scene.background = old; v.ground.visible = true;
            return btoa(text);
        }""",
        [w, h, np.array(projection).T.ravel().tolist(), view.T.ravel().tolist(), moment],
    )
    return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(h, w, 4)[::-1]


if __name__ == "__main__":
    main()
