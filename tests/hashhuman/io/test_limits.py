"""Bounds that are no part of a file's own reader."""

import gzip
import io
import zlib

import pytest
import torch

from hashhuman.io import limits

EITHER = 32 + zlib.MAX_WBITS


def test_inflate_reads_what_was_packed_and_no_more_than_the_bound(monkeypatch: pytest.MonkeyPatch):
    data = bytes(range(256)) * 100
    assert limits.inflate(zlib.compress(data), EITHER) == limits.inflate(gzip.compress(data), EITHER) == data
    with pytest.raises(ValueError, match="end too early"):
        limits.inflate(zlib.compress(data)[:-9], EITHER)
    monkeypatch.setattr(limits, "UNPACKED", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        limits.inflate(zlib.compress(data), EITHER)


def test_files_of_torch(monkeypatch: pytest.MonkeyPatch):
    file = io.BytesIO()
    torch.save({"a": torch.zeros(9)}, file)
    limits.check_torch(file)
    assert file.tell() == 0
    monkeypatch.setattr(limits, "ENTRIES", 2)
    with pytest.raises(ValueError, match="entries, and 2 are the most"):
        limits.check_torch(file)


def test_nesting():
    value: list = []
    for _ in range(limits.NESTING - 1):
        value = [value]
    assert limits.check_nesting(value) is value
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        limits.check_nesting([value])


def test_motions():
    limits.check_motion(1, 1)
    limits.check_motion(limits.POSES // limits.JOINTS, limits.JOINTS)
    for frames, joints in ((0, 24), (10, 0)):
        with pytest.raises(ValueError, match=f"it has {frames} frames and {joints} joints"):
            limits.check_motion(frames, joints)
    for frames, joints in ((limits.POSES // 24 + 1, 24), (1, limits.JOINTS + 1)):
        with pytest.raises(ValueError, match="are the most that are read"):
            limits.check_motion(frames, joints)
