"""Compiles Triton's kernels side by side, ahead of their launch.

Triton compiles a kernel at its first launch, so a first run on a machine waits for one kernel after the other. Here a
dry run goes through the launches without running anything, which lists what there is to compile. Most of the
compiler's work releases Python's lock, so threads share it. The results lie in Triton's cache on disk, where later
runs find them.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from hashhuman.io.threads import Background


@contextlib.contextmanager
def precompiled(dry_run: Callable[[], object]) -> Iterator[None]:
    """Compiles in threads whatever `dry_run` launches; inside the `with`, a launch waits for its own kernel only.

    Launches of the dry run do nothing: what kernels would write stays as it was allocated. A kernel that the dry run
    misses is compiled at its first launch, as usual. An error of the compiler is raised at the kernel's launch, or at
    the end if there is none.
    """
    from triton import knobs

    with Background() as background, knobs.runtime.scope():
        compiler = Compiler(background)
        knobs.runtime.jit_cache_hook = compiler
        with compiler.dry_run():
            dry_run()
        yield


class Compiler:
    """The hook that Triton calls before it compiles a variant of a kernel; the answer True makes Triton do nothing.

    Args:
        background: calls functions in threads.
    """

    def __init__(self, background: Callable[..., Future]) -> None:
        self.background = background
        self.in_dry_run = False
        self.begun: dict[tuple[Any, str], Future] = {}

    @contextlib.contextmanager
    def dry_run(self) -> Iterator[None]:
        """Inside, nothing is launched, and every kernel that is not being compiled yet is begun."""
        from triton.runtime import driver

        real: Any = driver.active
        self.target, self.launcher = real.get_current_target(), real.launcher_cls
        driver.set_active(StandInDriver(self.target))  # type: ignore[arg-type]
        self.in_dry_run = True
        try:
            yield
        finally:
            self.in_dry_run = False
            driver.set_active(real)

    def __call__(self, *, key: str, fn: Any, compile: Mapping[str, Any], **_: Any) -> bool:
        """`fn` and `compile` say which kernel and how; `key` tells its variants apart."""
        variant = fn.jit_function, key
        if self.in_dry_run and variant not in self.begun:
            self.begun[variant] = self._begin(fn.jit_function, compile)
        elif not self.in_dry_run and variant in self.begun:
            self.begun[variant].result()
        return self.in_dry_run

    def _begin(self, kernel: Any, compile: Mapping[str, Any]) -> Future:
        from triton.compiler import ASTSource

        source = ASTSource(kernel, compile["signature"], compile["constants"], compile["configs"][0])
        source.hash()  # computed here once, for helpers that several kernels call
        options = json.loads(compile["specialization_data"])["options"]
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        return self.background(_compile, source, self.target, options, self.launcher)


class StandInDriver:
    """Replaces Triton's driver in a dry run. Its device is none of the real ones, so no kernel counts as compiled.

    Args:
        target: the GPU that kernels are compiled for.
    """

    def __init__(self, target: Any) -> None:
        self.target = target

    def get_current_target(self) -> Any:
        """What is compiled for."""
        return self.target

    def get_current_device(self) -> int:
        """A number that no device has."""
        return -1

    def get_current_stream(self, device: int) -> int:
        """The device's default stream."""
        return 0


def _compile(source: Any, target: Any, options: Mapping[str, Any], launcher: Callable[[Any, Any], object]) -> None:
    """Fills Triton's cache with the kernel and with the module that launches it."""
    import triton

    kernel: Any = triton.compile(source, target=target, options=options)
    launcher(source, kernel.metadata)
