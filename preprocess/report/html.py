"""The report stage: `contact_sheet.png`, a video of the body, and `report.html`, which shows both and the findings.

The findings also lie in `findings.json`, for the reports of runs.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from rich.progress import Progress

from hashhuman.data.subject import Subject, SubjectWriter
from hashhuman.io.files import atomic_path
from preprocess.doctor.clip import ClipChecks, recording
from preprocess.doctor.fit import FitChecks
from preprocess.doctor.inspection import inspect_subject
from preprocess.findings import Finding, worst_in_words
from preprocess.frames.images import CAMERA
from preprocess.frames.video_index import recorded_notes, video_index
from preprocess.keypoints.points import points_path
from preprocess.quality import Quality, quality_path
from preprocess.report import page
from preprocess.report.overlay import pictures_a_second, write_overlay
from preprocess.report.sheet import ContactSheet
from preprocess.stage import Stage


class HtmlReport(Stage):
    """Writes `report.html`, `findings.json`, and those of its pictures that no other stage has drawn.

    Args:
        clip, fit: judge the clip and the fit, as the doctor does.
        columns, row_height: of the contact sheet (`sheet.ContactSheet`).
        video_height: greatest height of the video of the body (pixels).
        video_frames: greatest number of its pictures.
        force: run even if nothing has changed.
    """

    name: ClassVar[str] = "report"
    version: ClassVar[int] = 2  # 2: findings.json

    def __init__(
        self,
        clip: ClipChecks,
        fit: FitChecks,
        columns: int = 6,
        row_height: int = 320,
        video_height: int = 540,
        video_frames: int = 300,
        force: bool = False,
    ) -> None:
        self.clip, self.fit = clip, fit
        self.sheet = ContactSheet(columns, row_height)
        self.video_height, self.video_frames = video_height, video_frames
        self.force = force

    def inputs(self, subject: Path) -> list[Path]:
        stamps = [path for path in page.stamps(subject) if path.stem != self.name]
        return [*self.sheet.inputs(subject), quality_path(subject), *stamps]

    def outputs(self, subject: Path) -> list[Path]:
        files = [subject / "report.html", subject / "findings.json"]
        return [*files, *self.sheet.outputs(subject), subject / "pictures" / self.name]

    def settings(self) -> dict[str, Any]:
        checks = {"clip": dataclasses.asdict(self.clip), "fit": dataclasses.asdict(self.fit)}
        sizes = {"video_height": self.video_height, "video_frames": self.video_frames}
        return {**checks, **self.sheet.settings(), **sizes}

    def run(self, subject: Path, progress: Progress) -> str:
        self.sheet.run(subject, progress)
        video = subject / "pictures" / self.name / "overlay.mp4"
        write_overlay(Subject(subject), video, self.video_height, self.video_frames, progress)
        quality = Quality.load(quality_path(subject)) if quality_path(subject).exists() else None
        findings = [*self._clip(subject), *recording(recorded_notes(subject)), *(self.fit(quality) if quality else [])]
        sheet = self.sheet.outputs(subject)[0]
        SubjectWriter(subject).write_findings(page.rows_of(findings))
        text = page.render(subject, findings, quality, self.fit, sheet, video)
        with atomic_path(subject / "report.html") as path:
            path.write_text(text, encoding="utf-8")
        return worst_in_words(findings)

    def _clip(self, subject: Path) -> list[Finding]:
        if not points_path(subject).exists():
            return []
        reader = Subject(subject)
        count = sum(picture.camera == CAMERA for picture in reader.pictures)
        inspections = inspect_subject(subject, self.clip.pictures)
        return self.clip(inspections, count, pictures_a_second(reader), video_index(subject).size)
