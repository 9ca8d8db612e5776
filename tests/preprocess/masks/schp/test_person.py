import cv2
import numpy as np
import pytest

from hashhuman.data.subject import Subject
from preprocess.keypoints.points import Keypoints, points_path
from preprocess.masks.schp.person import PersonBoxes, PersonWriter, keep_person


@pytest.fixture
def body() -> np.ndarray:
    body = np.zeros((200, 200), np.uint8)
    cv2.rectangle(body, (90, 40), (110, 160), 1, -1)
    return body > 0


def test_bystanders_are_cropped_away_and_loose_clothes_are_kept(body):
    person = np.zeros(body.shape, np.uint8)
    cv2.rectangle(person, (80, 35), (122, 150), 5, -1)  # wider than the body
    cv2.rectangle(person, (92, 154), (108, 165), 18, -1)  # a shoe apart
    others = np.zeros_like(person)
    cv2.rectangle(others, (4, 10), (40, 190), 9, -1)  # larger than the person
    cv2.rectangle(others, (126, 60), (196, 160), 7, -1)  # partly within reach, apart
    np.testing.assert_array_equal(keep_person(np.maximum(person, others), body), person)


def test_somebody_who_touches_the_person_is_cut_off_at_arms_length(body):
    labels = np.zeros(body.shape, np.uint8)
    labels[40:160, 90:200] = 5
    kept = keep_person(labels, body)
    assert (kept[40:160, 90:125] == 5).all() and not kept[:, 135:].any()


def test_a_body_off_the_person_keeps_the_piece_it_touches_most(body):
    labels = np.zeros(body.shape, np.uint8)
    labels[30:170, 105:125], labels[0:20, :] = 5, 9
    kept = keep_person(labels, body)
    assert (kept[45:155, 105:120] == 5).all() and not kept[:20].any()


def test_nobody_is_kept_without_a_body_or_labels(body):
    assert not keep_person(np.full(body.shape, 5, np.uint8), np.zeros_like(body)).any()
    assert not keep_person(np.zeros(body.shape, np.uint8), body).any()


def test_the_box_holds_the_body_and_the_points_in_sight(toy_copy):
    subject = Subject(toy_copy)
    picture = subject.pictures[0]
    rows, columns = np.nonzero(subject.mask(picture) > 0)
    exact = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    box = PersonBoxes(subject)(picture)
    assert box is not None and np.abs(box - exact).max() < 1.5

    keypoints = Keypoints.empty([0])
    keypoints.detected[0] = True
    keypoints.image_points[0, :2], keypoints.visibility[0, :2] = [[3, 40], [1, 1]], [0.9, 0.1]
    keypoints.save(points_path(toy_copy))
    wider = PersonBoxes(subject)(picture)
    np.testing.assert_allclose(wider, [3, box[1], box[2], box[3]])
    assert subject.pictures[1].camera == 1  # which has no keypoints
    assert PersonBoxes(subject)(subject.pictures[1]) is not None


def test_writes_mask_and_labels_and_says_how_much(toy_copy):
    subject = Subject(toy_copy)
    writer, picture = PersonWriter(subject), subject.pictures[2]
    body = writer.body(picture)
    assert (body != subject.parts(picture)).mean() < 5e-3
    labels = np.where(body != 0, 9, 0).astype(np.uint8)
    labels[0, :3] = 9  # apart
    share = writer.write(picture, labels, body)
    again = Subject(toy_copy)
    assert share == pytest.approx((body != 0).mean())
    np.testing.assert_array_equal(again.parts(picture), np.where(body != 0, 9, 0))
    np.testing.assert_array_equal(again.mask(picture), (body != 0).astype(np.float32))
