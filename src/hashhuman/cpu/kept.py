"""Compiled loops on disk, where several processes compile and read them at the same time."""

import contextlib
import glob
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.core.caching import FunctionCache, IndexDataCacheFile


class Kept(FunctionCache):
    """Numba's cache of a function, whose files are never those of other argument types or of another source.

    Numba itself numbers the files. Two processes that compile a function for different types at the same time take the
    same number, and the index then gives the one's code for the other's types, without a word: arrays are read as what
    they are not. Numba also writes the index first, so that a process that is killed in between leaves the index of
    this source beside the code of an earlier one.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = _Files(self.cache_path, self._impl.filename_base, locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kept code of some argument types; None, so that it is compiled, if there is none or it is damaged."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever unpickling or linking half a file raises
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps code, in place of a damaged index. On a full disk, it is compiled again next time."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


class _Files(IndexDataCacheFile):
    """Files that are named after what they hold, and are there before the index names them."""

    def _load_index(self) -> dict[Any, str]:
        """As in Numba, but a damaged index, as a crash of the machine can leave, is an empty one."""
        try:
            return super()._load_index()
        except Exception:
            return {}

    def save(self, key: Any, data: Any) -> None:
        """Keeps code under a key. If another process writes at the same time, one of the two may have to be compiled
        again, since it is missing in the index."""
        others = self._load_index()
        name = self._data_name(int.from_bytes(hashlib.sha256(repr((self._source_stamp, key)).encode()).digest()[:8]))
        self._save_data(name, data)
        self._save_index(others | {key: name})
        if not others:  # whatever else lies there was compiled from an earlier source
            index = Path(self._index_path)
            for path in index.parent.glob(f"{glob.escape(index.stem)}.*.nbc"):
                if path.name != name:
                    with contextlib.suppress(OSError):
                        path.unlink()
