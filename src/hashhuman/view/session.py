"""One browser tab: reads its controls and its camera, and shows the mesh while they change and the field when not."""

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hashhuman.evaluation import drawing
from hashhuman.view import outputs, poses
from hashhuman.view.cameras import Viewpoint
from hashhuman.view.controls import JointControls, MotionControls, PictureControls, Request
from hashhuman.view.mesh import ViewMesh
from hashhuman.view.recorder import Recorder
from hashhuman.view.rendering import Picture, Progressive
from hashhuman.view.requested import RequestedView
from hashhuman.view.scene import Scene
from hashhuman.view.subject import Subject
from hashhuman.view.turns import Turns

TICK = 1 / 30  # s between two readings of the controls
STILL = 0.25  # s without a change before the field is rendered
BESIDE = 256  # pixels, the long side of the rendered picture beside the filmed one


@dataclasses.dataclass
class Work:
    """The field's picture of what is shown, as far as it is made."""

    picture: Iterator[Picture | None] | None = None  # None: to be begun
    beside: Iterator[Picture | None] | None = None  # the same for the picture beside the filmed one
    done: bool = False
    fine: bool = False  # whether a fine picture is visible, which no coarse one may replace


class Session:
    """What one tab shows. Each tab has its own pose and camera.

    Args:
        client: viser's `ClientHandle`.
        subject: what is shown.
        mesh: its mesh.
        progressive: renders the field.
        turns: when the avatar may be used.
        live: whether the avatar is being trained: pictures are made again and again.
    """

    def __init__(
        self, client: Any, subject: Subject, mesh: ViewMesh, progressive: Progressive, turns: Turns, live: bool
    ) -> None:
        self.client, self.subject, self.mesh = client, subject, mesh
        self.progressive, self.turns, self.live = progressive, turns, live
        self.ended = threading.Event()
        self.shown: RequestedView | None = None  # None before the browser has told of its camera
        self.changed_at, self.work = 0.0, Work()
        self.recorder: Recorder | None = None

    def start(self) -> None:
        """Fills the tab, and begins to work for it."""
        gui = self.client.gui
        gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        gui.set_panel_label(self.subject.name)
        self.scene = Scene(self.client, self.mesh)
        self.motion = MotionControls(gui, self.subject.motions)
        self.joints = JointControls(gui, self.subject.skeleton)
        self.panel = PictureControls(gui, outputs.offered(self.subject.avatar), self.to_filming_camera)
        if self.subject.folder is not None:
            background = self.progressive.background
            self.recorder = Recorder(self.client, self.turns, background, lambda: self.shown, self.panel.say)
        self.to_filming_camera()
        threading.Thread(target=self._run, daemon=True).start()

    def end(self) -> None:
        """Ends all work for the tab."""
        self.ended.set()
        if self.recorder is not None:
            self.recorder.end()

    def to_filming_camera(self) -> None:
        """Puts the tab's camera where the first picture was filmed from, looking at the person."""
        data, motion = self.subject.datamodule, self.subject.motions[0]
        viewpoint = Viewpoint.of(data.camera(data.splits["train"][0]), motion.exported_from_world)
        center = poses.at(motion, 0.0).joints(self.subject.skeleton)[0].mean(0)
        with self.client.atomic():
            self.client.camera.fov = viewpoint.fov
            self.client.camera.up_direction = (0.0, 1.0, 0.0)
            self.client.camera.position = tuple(viewpoint.position)
            self.client.camera.look_at = tuple(center if self.shown is None else self.shown.center)

    def _run(self) -> None:
        torch.set_grad_enabled(False)  # of this thread
        last = time.perf_counter()
        while not self.ended.is_set():
            now = time.perf_counter()
            self._look(now, now - last)
            last = now
            if not self._render(now):
                self.ended.wait(max(0.0, now + TICK - time.perf_counter()))

    def _look(self, now: float, seconds: float) -> None:
        """Reads controls and camera, and shows what has changed."""
        request, viewpoint, old = self._request(seconds), self._viewpoint(), self.shown
        if viewpoint is None:
            return
        shown = RequestedView(self.subject, request, viewpoint)
        moved = old is None or not shown.poses_as(old)
        turned = old is None or not shown.looks_as(old)
        other = old is None or (old.request.output, old.request.beside) != (request.output, request.beside)
        self.shown = shown
        if moved:
            self.scene.pose(self.mesh.posed(shown.motion, self.subject.skeleton))
        if moved or turned:
            self.changed_at = now
            if not self._immediate(shown):
                self.scene.show_mesh()
                self.panel.say("the mesh, while something moves")
        if moved or turned or other:
            self.work = Work()
            if not request.beside:
                self.panel.show_beside(None)

    def _render(self, now: float) -> bool:
        """Renders a piece of the field, if it is time. Returns whether it did."""
        shown, work = self.shown, self.work
        if shown is None or work.done or (now - self.changed_at < STILL and not self._immediate(shown)):
            return False
        with self.turns.mine(TICK) as mine:
            if not mine:
                return True
            if work.picture is None:
                work.picture = self.progressive(self.subject.avatar, shown.view())
            if (picture := next(work.picture, None)) is not None and (picture.final or not work.fine):
                self._show(shown, picture)
                work.done = work.fine = picture.final
            if work.fine and shown.request.beside and shown.position is not None:
                work.done = self._render_beside(shown, shown.position)
        if work.done and self.live:
            self.work = Work(fine=True)
        return True

    def _show(self, shown: RequestedView, picture: Picture) -> None:
        rendered = shown.rendered(picture, self.progressive.background)
        self.scene.show_picture(outputs.OUTPUTS[shown.request.output](rendered))
        text = f"the field, {picture.camera.width} x {picture.camera.height}"
        if shown.request.output == "error" and not outputs.comparable(rendered):
            text = "errors are known of filmed poses, from the filming camera: press the button above"
        self.panel.say(text)

    def _render_beside(self, shown: RequestedView, position: int) -> bool:
        """Renders a piece of the picture beside the filmed one. Returns whether it is whole."""
        filmed = self.subject.filmed(position)
        if self.work.beside is None:
            camera = filmed.camera.scaled(min(1.0, BESIDE / max(filmed.camera.height, filmed.camera.width)))
            self.work.beside = self.progressive(self.subject.avatar, shown.view(camera))
        picture = next(self.work.beside, None)
        if picture is None or not picture.final:
            return False
        truth, _ = outputs.seen_from(filmed, picture.camera, self.progressive.background)
        covered = picture.image.alpha.cpu() > outputs.SEEN
        if bool(covered.any()):
            true, title = torch.from_numpy(truth).float() / 255, f"frame {self.subject.frames[position]}"
            self.panel.show_beside(drawing.side_by_side(picture.image.rgb.cpu(), true, covered, title, height=BESIDE))
        return True

    def _request(self, seconds: float) -> Request:
        """The controls; a filmed motion that does not play stands at one of its frames."""
        motion, moment, playing = self.motion.read(seconds)
        if motion == 0 and not playing:
            moment = float(self.subject.motions[0].times[self.subject.nearest_frame(moment)])
        output, beside = self.panel.read()
        return Request(motion, moment, playing, self.joints.read(), output, beside)

    def _viewpoint(self) -> Viewpoint | None:
        """The tab's camera; None before the browser has told of it."""
        camera = self.client.camera
        if not camera.fov or not camera.image_height or not camera.image_width:
            return None
        w, x, y, z = camera.wxyz
        rotation = Rotation.from_quat([x, y, z, w]).as_matrix()
        return Viewpoint(np.array(camera.position), rotation, camera.fov, camera.image_height, camera.image_width)

    def _immediate(self, shown: RequestedView) -> bool:
        """Whether the field is rendered so fast that no mesh need stand in for it."""
        viewpoint = shown.viewpoint
        return self.progressive.immediate(viewpoint.height, viewpoint.width, self.subject.avatar.device)
