"""Evaluation of avatars whose error is known."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np
import pytest

from hashhuman.body.template import BodyPose
from hashhuman.data import damage
from hashhuman.errors import UserError
from hashhuman.evaluation import product
from hashhuman.evaluation.canonical_sheet import CanonicalSheet
from hashhuman.evaluation.comparisons import Comparisons
from hashhuman.evaluation.evaluator import Evaluator
from hashhuman.evaluation.images import Images
from hashhuman.evaluation.metrics.protocols import LegacyNVR, Strict
from hashhuman.evaluation.product import Evaluation, Made, Product
from hashhuman.evaluation.table import Table
from hashhuman.evaluation.turntable import Turntable
from hashhuman.io.files import read_image, write_image
from tests.hashhuman.fakes import FakeAvatar, FakeData

SPLITS = ["heldout", "novel_view", "novel_pose"]


def evaluator(protocol=None, splits=SPLITS, most=None, **products) -> Evaluator:
    """An evaluator with the table as its only product, unless others are given."""
    return Evaluator(protocol or Strict(None), splits, most, False, {}, {"table": Table(), **products})


def pictures(folder: Path) -> list[str]:
    """The PNG files at any depth below the folder itself."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/**/*.png"))


@pytest.fixture
def data(toy_folder) -> FakeData:
    """The toy: 4 training frames, of which one is held out, and 2 new poses; 1 new camera."""
    return FakeData(toy_folder)


def test_the_truth_scores_perfectly(data, tmp_path):
    avatar = FakeAvatar()
    report = evaluator()(avatar, data, tmp_path).report
    assert {name: split["pictures"] for name, split in report["splits"].items()} == {
        "heldout": 1,
        "novel_view": 4,
        "novel_pose": 2,
    }
    for split in report["splits"].values():
        mean = split["mean"]
        assert mean["psnr_full"] == mean["psnr_box"] == mean["psnr_fg"] == pytest.approx(100)
        assert mean["ssim_box"] == pytest.approx(1) and mean["mask_iou"] == 1 and mean["halo"] == 0
        assert mean["render_ms"] > 0
    held = data.splits["heldout"][0].frame
    assert avatar.asked[0] is None and held not in data.train_frames  # held out: a pose of its own
    assert avatar.asked[1:5] == [data.train_frames.index(f) if f in data.train_frames else None for f in range(4)]
    assert avatar.asked[5:] == [None, None]
    assert json.loads((tmp_path / "metrics.json").read_text()) == report
    table = (tmp_path / "table.md").read_text()
    assert "| Strict | held-out frames (1) | novel views (4) | novel poses (2) | what it is |" in table
    assert "| `halo` | 0.0000 | 0.0000 | 0.0000 | mean alpha more than 5 px outside the true mask |" in table
    assert avatar.training  # as it was before
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["metrics.json", "table.md"]


def test_an_error_of_known_size(data, tmp_path):
    """An error of 20 of 255 grey levels inside the mask, and a halo of 0.1 outside."""

    def change(image):
        seen = image.alpha[..., None]
        return dataclasses.replace(image, rgb=image.rgb + 20 / 255 * seen, alpha=image.alpha + 0.1 * (1 - image.alpha))

    report = evaluator(splits=["novel_view"])(FakeAvatar(change), data, tmp_path).report
    for row in report["splits"]["novel_view"]["each"]:
        camera, frame = row["picture"].split("/")
        mask = read_image(data.subject.root / "mask" / camera / f"{frame}.png") > 127
        fg = 20 * math.log10(255 / 20)
        assert row["psnr_fg"] == pytest.approx(fg, abs=1e-3)
        assert row["psnr_full"] == pytest.approx(fg - 10 * math.log10(mask.mean()), abs=1e-3)
        assert row["halo"] == pytest.approx(0.1) and row["mask_iou"] == 1


def test_the_legacy_protocol_can_be_evaluated(data, tmp_path):
    report = evaluator(LegacyNVR(None), splits=["novel_pose"])(FakeAvatar(), data, tmp_path).report
    assert report["protocol"] == "LegacyNVR" and set(report["columns"]) == {"psnr", "ssim"}
    assert report["splits"]["novel_pose"]["mean"]["psnr"] > 60  # nothing is rounded to 8 bits


def test_saved_images_equal_the_scored_ones(data, tmp_path):
    made = evaluator(splits=["novel_view"], images=Images("all"), most=2)(FakeAvatar(), data, tmp_path).made["images"]
    assert made.files == {
        "rendered pictures": tmp_path / "images", "their masks": tmp_path / "mask",
    } and not made.images  # fmt: skip
    saved = pictures(tmp_path)
    assert saved == [f"{kind}/01/{frame:06d}.png" for kind in ("images", "mask") for frame in (0, 3)]
    for name in saved:
        np.testing.assert_array_equal(read_image(tmp_path / name), read_image(data.subject.root / name))


def test_comparisons_show_truth_render_and_error(data, tmp_path):
    evaluation = evaluator(comparisons=Comparisons(2))(FakeAvatar(), data, tmp_path)
    made = pictures(tmp_path)
    shown = evaluation.made["comparisons"].images
    assert shown == {path.removeprefix("comparisons/").removesuffix(".png"): tmp_path / path for path in made}
    assert made == [f"comparisons/heldout/00_{data.splits['heldout'][0].frame:06d}.png"] + [
        f"comparisons/{split}/01_{frame:06d}.png" for split, frame in (("novel_pose", 4), ("novel_pose", 5))
    ] + ["comparisons/novel_view/01_000000.png", "comparisons/novel_view/01_000003.png"]  # fmt: skip


def test_a_picture_without_a_person_is_named_not_scored(data, tmp_path):
    true_view = data.view

    def view(picture):
        found = true_view(picture)
        return dataclasses.replace(found, mask=found.mask * (picture.frame != 1))

    data.view = view
    report = evaluator(splits=["novel_view"])(FakeAvatar(), data, tmp_path).report["splits"]["novel_view"]
    assert report["pictures"] == 3 and report["without_person"] == ["01/000001"]
    data.view = lambda picture: dataclasses.replace(true_view(picture), mask=true_view(picture).mask * 0)
    report = evaluator(splits=["novel_view"])(FakeAvatar(), data, tmp_path).report["splits"]["novel_view"]
    assert report["pictures"] == 0 and report["mean"] == {}
    assert "| `psnr_full` | - |" in (tmp_path / "table.md").read_text()


def test_products_from_all_sides_show_the_unseen_share(toy_folder, tmp_path):
    data = FakeData(toy_folder, train_frames=1, holdout_every=0)
    turntable = Turntable(views=8, fps=24, height=60, frame=None, background=1.0, format="mp4")
    canonical = CanonicalSheet(views=4, height=50, background=1.0)
    evaluation = evaluator(splits=[], turntable=turntable, canonical=canonical)(FakeAvatar(), data, tmp_path)
    unseen = json.loads((tmp_path / "metrics.json").read_text())["unseen"]
    assert unseen == evaluation.report["unseen"]
    said = (tmp_path / "table.md").read_text().splitlines()[-1]
    assert said.startswith(f"{unseen['surface']:.0%} of the body's whole surface, by area, was seen in no training pic")
    assert "Captions under pictures count only the surface that their picture shows" in said
    assert evaluation.made["turntable"].videos == {"turntable": tmp_path / "turntable.mp4"}
    assert evaluation.made["canonical"].images == {"canonical": tmp_path / "canonical.png"}
    assert 0.3 < unseen["surface"] < 0.9
    assert len(unseen["turntable"]) == 8 and len(unseen["canonical"]) == 4
    assert unseen["turntable"][0] < 0.2 and unseen["turntable"][4] > 0.6  # filmed from the front only
    assert read_image(tmp_path / "canonical.png").shape[2] == 3
    with av.open(str(tmp_path / "turntable.mp4")) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == "h264" and stream.pix_fmt == "yuv420p" and stream.average_rate == 24
    assert len(frames) == 8 and frames[0].shape[0] == 60 + 22  # with the strip
    assert (frames[0].std((0, 1)) > 10).all()


def test_a_turntable_may_be_a_gif(toy_folder, tmp_path):
    data = FakeData(toy_folder, train_frames=1, holdout_every=0)
    turntable = Turntable(views=3, fps=10, height=61, frame=None, background=1.0, format="gif")
    evaluation = evaluator(splits=[], turntable=turntable)(FakeAvatar(), data, tmp_path)
    assert evaluation.made["turntable"].videos == {"turntable": tmp_path / "turntable.gif"}
    assert iio.imread(tmp_path / "turntable.gif", plugin="pillow", index=...).shape[0] == 3


def test_turntable_of_an_unknown_frame(data, tmp_path):
    turntable = Turntable(views=2, fps=24, height=60, frame=77, background=1.0, format="mp4")
    with pytest.raises(UserError, match="no pose for frame 77"):
        evaluator(splits=[], turntable=turntable)(FakeAvatar(), data, tmp_path)


def test_a_turntable_without_av_is_refused_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install av.*eval\.products\.turntable=null"):
        Turntable(views=2, fps=24, height=60, frame=None, background=1.0, format="mp4")


def test_a_subject_without_held_out_pictures_says_so(tmp_path, data, caplog, capsys, monkeypatch):
    monkeypatch.setitem(data.splits, "heldout", [])
    report = evaluator(splits=["heldout"])(FakeAvatar(), data, tmp_path).report
    assert report["splits"] == {} and "psnr" not in capsys.readouterr().out
    assert caplog.messages == [
        "No picture was measured: this subject's pictures leave heldout empty. "
        "data.holdout_every and data.test_frames choose which pictures are held out."
    ]


def test_unknown_splits_and_counts_are_refused():
    with pytest.raises(UserError, match="there is no novel_poses"):
        evaluator(splits=["novel_poses"])
    with pytest.raises(UserError, match=r"eval\.most=0"):
        evaluator(most=0)
    with pytest.raises(UserError, match=r"eval\.products\.turntable=False is not a product; null leaves a product out"):
        evaluator(turntable=False)


class Note(Product):
    """Another product: notes its calls, and reports the number of seen vertices."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def picture(self, evaluation, picture, submit) -> None:
        """Notes the picture."""
        assert picture.figures["psnr_full"] == pytest.approx(100) and picture.comparison.mask.any()
        self.calls.append(f"{self.name} {picture.split} {picture.name} {picture.index}/{picture.count}")

    def make(self, evaluation: Evaluation) -> Made:
        """Writes a file with the names of the products before it."""
        path = evaluation.folder / f"{self.name}.txt"
        assert (evaluation.folder / "metrics.json").exists()  # the table comes first
        path.write_text(" ".join(evaluation.made))
        self.calls.append(f"{self.name} made")
        return Made({f"note of {self.name}": path}, {"notes": {self.name: evaluation.seen.sum().item()}})

    def finish(self, evaluation: Evaluation) -> None:
        """Notes the call."""
        self.calls.append(f"{self.name} finished")


def test_several_products(data, tmp_path, capsys, monkeypatch):
    """Products are made in order, their report entries are merged, and visibility is computed once."""
    asked = []
    monkeypatch.setattr(
        product.visibility,
        "seen_vertices",
        lambda *given, true=product.visibility.seen_vertices: asked.append(1) or true(*given),
    )
    calls: list[str] = []
    made = {"first": Note("first", calls), "none": None, "second": Note("second", calls)}
    evaluation = evaluator(splits=["heldout"], **made)(FakeAvatar(), data, tmp_path)
    (held,) = (f"{picture.camera:02d}/{picture.frame:06d}" for picture in data.splits["heldout"])
    assert calls == [
        f"first heldout {held} 0/1", f"second heldout {held} 0/1", "first made", "second made", "first finished",
        "second finished",
    ]  # fmt: skip
    assert (tmp_path / "second.txt").read_text() == "table first"
    saved = json.loads((tmp_path / "metrics.json").read_text())
    seen = int(evaluation.seen.sum())
    assert saved["notes"] == {"first": seen, "second": seen} and 0 < seen < 40 and len(asked) == 1
    assert capsys.readouterr().out.splitlines()[-4:] == [
        f"metrics: {tmp_path}/metrics.json",
        f"table: {tmp_path}/table.md",
        f"note of first: {tmp_path}/first.txt",
        f"note of second: {tmp_path}/second.txt",
    ]


def test_metrics_are_written_before_slow_products(data, tmp_path, capsys):
    class Failing(Product):
        """Cannot be made."""

        def make(self, evaluation: Evaluation) -> Made:
            """Fails."""
            raise UserError("no")

    with pytest.raises(UserError, match="no"):
        evaluator(failing=Failing())(FakeAvatar(), data, tmp_path)
    assert "psnr_full" in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["splits"].keys() == set(SPLITS)


def test_an_evaluation_replaces_its_own_files_only(data, tmp_path):
    products = {"comparisons": Comparisons(3), "images": Images("all")}
    evaluator(**products)(FakeAvatar(), data, tmp_path)
    write_image(tmp_path / "canonical.png", np.zeros((4, 4, 3), np.uint8))
    measured = (tmp_path / "metrics.json").read_bytes()
    before = pictures(tmp_path)
    beside = tmp_path.with_name("legacy_nvr")
    evaluator(LegacyNVR(None), **products)(FakeAvatar(), data, beside)
    assert (tmp_path / "metrics.json").read_bytes() == measured
    assert pictures(tmp_path) == pictures(beside) == before

    few = {"comparisons": Comparisons("all"), "images": Images(0)}
    evaluator(splits=["novel_pose"], most=1, **few)(FakeAvatar(), data, tmp_path)
    now = pictures(tmp_path)
    assert [path for path in now if path.startswith("comparisons")] == ["comparisons/novel_pose/01_000004.png"]
    assert not (tmp_path / "comparisons/heldout").exists()
    assert [p for p in now if not p.startswith("c")] == [p for p in before if not p.startswith("c")]  # not made anew
    assert (tmp_path / "metrics.json").read_bytes() != measured and (tmp_path / "canonical.png").exists()


def test_without_products_there_is_only_a_report(data, tmp_path):
    evaluation = Evaluator(Strict(None), ["heldout"], None, False, {}, None)(FakeAvatar(), data, tmp_path)
    assert evaluation.report["splits"]["heldout"]["pictures"] == 1 and not list(tmp_path.iterdir())


def test_fitted_poses_are_reported_beside_the_plain_figures(data, tmp_path):
    """Of held-out frames alone. The plain figures are those of an evaluation without the fit."""
    splits, asked = ["train", "heldout"], []

    class Fitting(FakeAvatar):
        """Finds the exact pose at once, and starts from one that is 3 cm off."""

        def refined_pose(self, pose: BodyPose, frame: int) -> BodyPose:
            return BodyPose(pose.body_pose, pose.orient, pose.transl + 0.03)

        def fit_pose(self, camera, image, mask, pose: BodyPose, steps: int) -> BodyPose:
            asked.append(steps)
            return BodyPose(pose.body_pose, pose.orient, pose.transl - 0.03)

    def report(fit: bool) -> dict:
        products = {"table": Table(), "images": Images("all")}
        return Evaluator(Strict(None), splits, None, fit, {"steps": 7}, products)(Fitting(), data, tmp_path).report

    fitted = report(True)
    (shown,) = tmp_path.glob("images_fitted/*/*.png")  # one held-out frame
    beside = tmp_path / "images" / shown.relative_to(tmp_path / "images_fitted")
    assert (read_image(shown) != read_image(beside)).any() and len(list(tmp_path.glob("mask_fitted/*/*.png"))) == 1
    plain = report(False)
    assert not (tmp_path / "images_fitted").exists() and beside.exists()  # replaced
    report(True)
    assert asked == 2 * [7] * plain["splits"]["heldout"]["pictures"]
    assert fitted["splits"]["train"]["mean"].keys() == plain["splits"]["train"]["mean"].keys()
    mine, theirs = (report["splits"]["heldout"]["mean"] for report in (fitted, plain))
    for column in plain["columns"]:
        assert mine[column] == theirs[column] and f"{column}_fitted" in fitted["columns"]
    assert mine["psnr_box_fitted"] > mine["psnr_box"] + 10 and mine["mask_iou_fitted"] > 0.99
    assert "_fitted" not in str(plain) and "`psnr_box_fitted`" in (tmp_path / "table.md").read_text()


def test_too_much_damage_leaves_the_earlier_evaluation(data, tmp_path, monkeypatch):
    made = evaluator(images=Images("all"))
    made(FakeAvatar(), data, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    last = data.splits["novel_pose"][-1]
    monkeypatch.setattr(
        data, "view_or_damage", lambda each: UserError("x.png is damaged.") if each is last else data.view(each)
    )
    with pytest.raises(UserError, match=r"1 of 2 novel poses are damaged, .* The first: x.png is damaged"):
        made(FakeAvatar(), data, tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    monkeypatch.setattr(damage, "DAMAGED", 0.5)
    report = made(FakeAvatar(), data, tmp_path).report["splits"]["novel_pose"]
    assert report["pictures"] == 1 and report["damaged"] == [str(last.image)]
