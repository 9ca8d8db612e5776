"""Shows a decoded picture as players do: turned or mirrored by its display matrix, and with square pixels."""

from typing import Any, cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from jaxtyping import Int, UInt8

_UNIT = 1 << 16  # of the matrix, whose numbers have 16 bits after the point


def display_matrix(frame: av.VideoFrame) -> Int[np.ndarray, "2 2"]:
    """How the shown picture's x and y follow from the coded one's: a turn by quarters, perhaps mirrored.

    `VideoFrame.rotation` keeps the turn alone. A matrix that is neither, which no camera writes, is the nearest turn.
    """
    data = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)  # its stub knows names as keys alone
    if data is None:
        return np.eye(2, dtype=np.int64)
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32)
    matrix = np.array([[a, c], [b, d]]) / _UNIT  # (x', y') = (a x + c y, b x + d y)
    along_x = abs(matrix[0, 0]) + abs(matrix[1, 1]) >= abs(matrix[0, 1]) + abs(matrix[1, 0])
    kept = np.where(np.eye(2) > 0, matrix, 0) if along_x else np.where(np.eye(2) > 0, 0, matrix)
    return np.sign(kept).astype(np.int64) if np.linalg.det(kept) else np.eye(2, dtype=np.int64)


def upright(image: UInt8[np.ndarray, "H W 3"], matrix: Int[np.ndarray, "2 2"], aspect: float) -> np.ndarray:
    """The picture with square pixels, as its display matrix says.

    Args:
        image: as it is coded.
        matrix: from `display_matrix`.
        aspect: a coded pixel's width over its height.
    """
    if aspect != 1:
        image = cv2.resize(image, (round(image.shape[1] * aspect), image.shape[0]), interpolation=cv2.INTER_AREA)
    if matrix[0, 0] == 0:  # x' comes from y
        image, matrix = image.transpose(1, 0, 2), matrix[:, ::-1]
    return np.ascontiguousarray(image[:: matrix[1, 1], :: matrix[0, 0]])
