"""Compiles Triton's kernels in parallel before their first launch.

Triton compiles a kernel at its first launch, so the first run on a machine waits for one kernel after another. Here a
dry run makes all launches without running any kernel, which lists the kernels to compile. Most of the compiler's work
releases Python's lock, so several threads share it. The results are kept in Triton's cache on disk, where later runs
find them.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from hashhuman.io.threads import Background


@contextlib.contextmanager
def precompiled(dry_run: Callable[[], object]) -> Iterator[None]:
    """Compiles the kernels that `dry_run` launches, in threads; inside the context, a launch waits for its own kernel.

    Kernels do not run in the dry run, so their outputs stay uninitialised. A kernel that the dry run misses is compiled
    at its first launch, as usual. An error of the compiler is raised when the kernel is launched, or at the end of the
    context if it is not launched.
    """
    from triton import knobs

    with Background() as background, knobs.runtime.scope():
        compiler = Compiler(background)
        knobs.runtime.jit_cache_hook = compiler
        with compiler.dry_run():
            dry_run()
        yield


class Compiler:
    """The hook that Triton calls before it compiles a variant of a kernel. If it returns True, Triton does nothing.

    Args:
        background: calls a function in another thread and returns its future.
    """

    def __init__(self, background: Callable[..., Future]) -> None:
        self.background = background
        self.in_dry_run = False
        self.begun: dict[tuple[Any, str], Future] = {}

    @contextlib.contextmanager
    def dry_run(self) -> Iterator[None]:
        """Inside this context nothing is launched, and the compilation of every new kernel is started."""
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
        """`fn` and `compile` describe the kernel and its options; `key` identifies the variant."""
        variant = fn.jit_function, key
        if self.in_dry_run and variant not in self.begun:
            self.begun[variant] = self._begin(fn.jit_function, compile)
        elif not self.in_dry_run and variant in self.begun:
            self.begun[variant].result()
        return self.in_dry_run

    def _begin(self, kernel: Any, compile: Mapping[str, Any]) -> Future:
        from triton.compiler import ASTSource

        source = ASTSource(kernel, compile["signature"], compile["constants"], compile["configs"][0])
        source.hash()  # computed before the threads start, because kernels share device functions
        options = json.loads(compile["specialization_data"])["options"]
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        return self.background(_compile, source, self.target, options, self.launcher)


class StandInDriver:
    """Replaces Triton's driver in a dry run. Its device number belongs to no device, so no kernel counts as compiled.

    Args:
        target: the GPU that kernels are compiled for.
    """

    def __init__(self, target: Any) -> None:
        self.target = target

    def get_current_target(self) -> Any:
        """The GPU that kernels are compiled for."""
        return self.target

    def get_current_device(self) -> int:
        """A number that belongs to no device."""
        return -1

    def get_current_stream(self, device: int) -> int:
        """The default stream."""
        return 0


def _compile(source: Any, target: Any, options: Mapping[str, Any], launcher: Callable[[Any, Any], object]) -> None:
    """Fills Triton's cache with the kernel and with the module that launches it."""
    import triton

    kernel: Any = triton.compile(source, target=target, options=options)
    launcher(source, kernel.metadata)
