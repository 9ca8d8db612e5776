"""Reads the file in which wandb keeps a run for `wandb sync`: records of its own schema, in LevelDB's log format.

Blocks of 32 KiB, the first with a header of 7 bytes. A record is one chunk, or several where it crosses blocks. A chunk
is a checksum (4 bytes), a length (2), a type (1: whole, 2: first, 3: middle, 4: last) and its data.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 32 * 1024
HEADER = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def chunks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The chunks of a log, each with its type. Raises AssertionError for a wrong header or checksum."""
    assert data[: len(HEADER)] == HEADER
    place = len(HEADER)
    while place < len(data):
        if BLOCK - place % BLOCK < 7:  # too little for a chunk: the rest of the block is empty
            place += BLOCK - place % BLOCK
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, place)
        content = data[place + 7 : place + 7 + length]
        assert checksum == zlib.crc32(bytes([kind]) + content)
        yield kind, content
        place += 7 + length


def records(path: Path) -> list[Any]:
    """wandb's records, in the order in which they were written."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: list[Any] = []
    parts = b""
    for kind, content in chunks(path.read_bytes()):
        parts = content if kind in (WHOLE, FIRST) else parts + content
        if kind in (WHOLE, LAST):
            found.append(Record.FromString(parts))
    return found


def config(found: list[Any]) -> dict[str, Any]:
    """The run's config: what it began with, and each update."""
    updates = [update for record in found for part in (record.run.config, record.config) for update in part.update]
    return {update.key: json.loads(update.value_json) for update in updates if update.key}


def history(found: list[Any]) -> list[dict[str, Any]]:
    """What was logged at each call, with nested keys joined by dots."""
    rows = [record.history.item for record in found if record.WhichOneof("record_type") == "history"]
    return [{".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row} for row in rows]
