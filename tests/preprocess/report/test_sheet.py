import numpy as np

from hashhuman.io.files import read_image, save_npz
from preprocess.masks.blazepose import BlazePoseMasks
from preprocess.report.sheet import ContactSheet, draw_body
from preprocess.stage import run_stages
from tests import toy
from tests.preprocess.masks.clip import film


def test_the_sheet_shows_every_stage_of_a_few_pictures(tmp_path):
    film(tmp_path, frames=5)
    run_stages([BlazePoseMasks(), ContactSheet(columns=3, row_height=80)], tmp_path)
    sheet = read_image(tmp_path / "contact_sheet.png")
    rows = sheet[-4 * 84 :].reshape(4, 84, *sheet.shape[1:])
    assert all(row[:80, 80:].std() > 20 for row in rows)
    assert sheet.shape[1] == 80 + 3 * ((sheet.shape[1] - 80) // 3)
    differences = [np.abs(rows[0].astype(int) - row).mean() for row in rows[1:]]
    assert min(differences) > 3
    plain = read_image(tmp_path / "contact_sheet.png")
    fit = {"frames": np.arange(5), "reprojection_error": np.full(5, 3.0), "interpolated": np.arange(5) == 2}
    save_npz(tmp_path / "body_fit.npz", fit)
    run_stages([ContactSheet(columns=3, row_height=80)], tmp_path)
    captioned = read_image(tmp_path / "contact_sheet.png")
    assert (captioned[-4 * 84 :] == plain[-4 * 84 :]).all() and captioned[: -4 * 84].mean() > plain[: -4 * 84].mean()


def test_the_body_is_drawn_where_it_is():
    body, view = toy.template(), toy.camera(0)
    vertices = toy.world_vertices(body, 1)
    image = np.full((toy.SIZE, toy.SIZE, 3), 77, np.uint8)
    silhouette, drawn = draw_body(image, view, vertices.numpy(), body.faces.numpy())
    np.testing.assert_array_equal(silhouette, toy.cast(vertices, body.faces, view) >= 0)
    np.testing.assert_array_equal((drawn != image).any(-1), silhouette)
