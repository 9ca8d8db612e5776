"""The controls beside the picture. They are read many times a second, so that the order of events does not matter."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hashhuman.export.motion import Motion, Skeleton

SPEEDS = ("0.25", "0.5", "1", "2")


@dataclasses.dataclass(frozen=True)
class Request:
    """What the user wants to see."""

    motion: int  # position in the list of motions
    time: float  # s
    playing: bool
    degrees: Float[np.ndarray, "J 3"]  # how far each joint is turned from the motion's pose, about its x, y and z axes
    output: str
    beside: bool  # whether the filmed picture is shown beside it


class MotionControls:
    """Which motion, its time, whether it plays, and how fast."""

    def __init__(self, gui: Any, motions: Sequence[Motion]) -> None:
        self.motions = motions
        names = [f"{number} {motion.name}" for number, motion in enumerate(motions, 1)]
        with gui.add_folder("Motion"):
            self.motion = gui.add_dropdown("motion", names, initial_value=names[0], visible=len(names) > 1)
            self.time = gui.add_slider(
                "time", 0.0, max(self._length(0), 1e-3), motions[0].frame_time(), 0.0, disabled=not self._length(0)
            )
            self.playing = gui.add_checkbox("play", False, disabled=not self._length(0))
            self.speed = gui.add_dropdown("speed", SPEEDS, initial_value="1")
        self.names, self._shown, self._time = names, 0, 0.0

    def read(self, seconds: float) -> tuple[int, float, bool]:
        """Motion, time and whether it plays, `seconds` after the last reading."""
        chosen = self.names.index(self.motion.value)
        if chosen != self._shown:
            self._shown, self._time = chosen, 0.0
            self.time.max, self.time.step = max(self._length(chosen), 1e-3), self.motions[chosen].frame_time()
            self.time.disabled = self.playing.disabled = not self._length(chosen)
            self.time.value = 0.0
        if self.playing.value and self._length(chosen):
            self._time = (self._time + seconds * float(self.speed.value)) % self._length(chosen)
            self.time.value = self._time
        else:
            self._time = float(self.time.value)
        return chosen, self._time, bool(self.playing.value)

    def _length(self, motion: int) -> float:
        return float(self.motions[motion].times[-1])


class JointControls:
    """Turns one joint after another."""

    def __init__(self, gui: Any, skeleton: Skeleton) -> None:
        self.names = list(skeleton.names)
        self.degrees = np.zeros((len(self.names), 3))
        with gui.add_folder("Joint", expand_by_default=False):
            first = self.names[min(1, len(self.names) - 1)]
            self.joint = gui.add_dropdown("joint", self.names, initial_value=first)
            self.angles = [gui.add_slider(f"turn {axis}", -180.0, 180.0, 1.0, 0.0) for axis in "xyz"]
            reset = gui.add_button("all as in the motion")
        self._shown = first
        reset.on_click(lambda _: self._reset())

    def read(self) -> Float[np.ndarray, "J 3"]:
        """How far each joint is turned (degrees)."""
        if self.joint.value != self._shown:
            self._shown = self.joint.value
            self._show()
        else:
            self.degrees[self.names.index(self._shown)] = [float(slider.value) for slider in self.angles]
        return self.degrees.copy()

    def _reset(self) -> None:
        self.degrees[:] = 0
        self._show()

    def _show(self) -> None:
        for slider, value in zip(self.angles, self.degrees[self.names.index(self._shown)]):
            slider.value = float(value)


class PictureControls:
    """What the picture shows, and the filmed one beside it."""

    def __init__(self, gui: Any, outputs: Sequence[str], to_filming_camera: Callable[[], None]) -> None:
        with gui.add_folder("Picture"):
            self.output = gui.add_dropdown("output", list(outputs), initial_value=outputs[0])
            gui.add_button("to the filming camera").on_click(lambda _: to_filming_camera())
            self.beside = gui.add_checkbox("filmed picture", False)
            self.image = gui.add_image(np.full((8, 8, 3), 255, np.uint8), visible=False)
        self.status = gui.add_markdown("")

    def read(self) -> tuple[str, bool]:
        """The output, and whether the filmed picture is shown."""
        return str(self.output.value), bool(self.beside.value)

    def show_beside(self, image: np.ndarray | None) -> None:
        """Shows a picture in the panel; None: hides it."""
        if image is not None:
            self.image.image = image
        self.image.visible = image is not None

    def say(self, text: str) -> None:
        """A line below the controls."""
        if self.status.content != text:
            self.status.content = text


@dataclasses.dataclass(frozen=True)
class PathActions:
    """What the buttons of `PathControls` do."""

    add: Callable[[], int]  # adds the present view; returns how many there are
    clear: Callable[[], None]
    record: Callable[[], None]
    cancel: Callable[[], None]


class PathControls:
    """A camera path, and its video."""

    def __init__(self, gui: Any, actions: PathActions) -> None:
        with gui.add_folder("Camera path", expand_by_default=False):
            self.views = gui.add_markdown(self._told(0))
            gui.add_button("add this view").on_click(lambda _: self._tell(actions.add()))
            gui.add_button("clear").on_click(lambda _: (actions.clear(), self._tell(0)))
            self.seconds = gui.add_slider("seconds", 0.5, 30.0, 0.5, 4.0)
            self.height = gui.add_slider("height", 64, 1080, 2, 512)
            self.moving = gui.add_checkbox("with the motion", False)
            self.button = gui.add_button("record")
            self.stop = gui.add_button("stop recording", visible=False)
            self.progress = gui.add_progress_bar(0.0, visible=False)
        self.button.on_click(lambda _: actions.record())
        self.stop.on_click(lambda _: actions.cancel())

    def working(self, share: float | None) -> None:
        """Shows which share of the video is done; None: none is being made."""
        self.button.visible, self.stop.visible = share is None, share is not None
        self.progress.visible = share is not None
        self.progress.value = 100 * (share or 0.0)

    def _tell(self, count: int) -> None:
        self.views.content = self._told(count)

    @staticmethod
    def _told(count: int) -> str:
        return f"{count} views" if count > 1 else "1 view: the camera stands" if count else "no view: a full turn"
