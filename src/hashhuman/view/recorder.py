"""Records the camera path of a tab as a video, beside the tab's other work."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from hashhuman.errors import UserError
from hashhuman.export.motion import Motion, body_poses
from hashhuman.view import outputs, poses, recording
from hashhuman.view.cameras import Viewpoint
from hashhuman.view.controls import PathActions, PathControls
from hashhuman.view.outputs import RenderedView
from hashhuman.view.requested import RequestedView
from hashhuman.view.turns import Turns

FPS = 30  # of the videos
WAIT = 0.1  # s to wait for a turn before asking whether the user has cancelled


class Recorder:
    """The camera path of one tab.

    Args:
        client: viser's `ClientHandle`.
        turns: when the avatar may be used.
        background: grey level behind the person, in [0, 1].
        shown: what the tab shows at the moment; None before the browser has told of its camera.
        say: shows a line of text.
    """

    def __init__(
        self,
        client: Any,
        turns: Turns,
        background: float,
        shown: Callable[[], RequestedView | None],
        say: Callable[[str], None],
    ) -> None:
        self.client, self.turns, self.background, self.shown, self.say = client, turns, background, shown, say
        self.path, self.cancelled = recording.CameraPath(), threading.Event()
        actions = PathActions(self._add, self.path.viewpoints.clear, self._start, self.cancelled.set)
        self.controls = PathControls(client.gui, actions)

    def end(self) -> None:
        """Stops a recording that is going on."""
        self.cancelled.set()

    def _add(self) -> int:
        if (shown := self.shown()) is not None:
            self.path.viewpoints.append(shown.viewpoint)
        return len(self.path.viewpoints)

    def _start(self) -> None:
        if (shown := self.shown()) is not None:
            self.cancelled.clear()
            self.controls.working(0.0)
            threading.Thread(target=self._record, args=(shown,), daemon=True).start()

    def _record(self, shown: RequestedView) -> None:
        """Writes the video into the subject's folder, and sends it to the browser."""
        torch.set_grad_enabled(False)  # of this thread
        folder = shown.subject.folder
        assert folder is not None
        count = max(2, round(float(self.controls.seconds.value) * FPS))
        viewpoints = (
            self.path.along(count)
            if self.path.viewpoints
            else recording.full_turn(shown.viewpoint, shown.center, count)
        )
        viewpoints = [recording.even(viewpoint, int(self.controls.height.value)) for viewpoint in viewpoints]
        pictures = self._pictures(shown, viewpoints, bool(self.controls.moving.value))
        try:
            path = recording.free_name(folder)
            recording.record(path, pictures, count, FPS, self.cancelled, self.controls.working)
            self.client.send_file_download(path.name, path.read_bytes(), save_immediately=True)
            self.say(f"recorded: {path.parent.name}/{path.name} in the run's folder")
        except recording.Cancelled:
            self.say("the recording was stopped, and nothing was written")
        except UserError as error:
            self.say(str(error))
        finally:
            self.controls.working(None)

    def _pictures(self, shown: RequestedView, viewpoints: list[Viewpoint], moving: bool) -> Iterator[np.ndarray]:
        motion = shown.subject.motions[shown.request.motion]
        for number, viewpoint in enumerate(viewpoints):
            time = shown.request.time
            if moving and motion.times[-1]:
                time = (time + number / FPS) % float(motion.times[-1])
            posed = poses.turned(poses.at(motion, time), shown.request.degrees)
            yield self._picture(shown, viewpoint, posed)

    def _picture(self, shown: RequestedView, viewpoint: Viewpoint, posed: Motion) -> np.ndarray:
        subject, avatar = shown.subject, shown.subject.avatar
        (pose,), camera = body_poses(posed, subject.template), viewpoint.camera(posed.exported_from_world)
        while not self.cancelled.is_set():
            with self.turns.mine(WAIT) as mine:
                if mine:
                    there, body = camera.to(avatar.device), pose.to(avatar.device)
                    image = avatar.render_image(there, body, None, self.background)
                    rendered = RenderedView(image, camera, pose, avatar, subject.template, None, self.background)
                    return outputs.OUTPUTS[shown.request.output](rendered)
        raise recording.Cancelled
