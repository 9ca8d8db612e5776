"""Compiles Triton's kernels side by side before they are launched.

Triton compiles a kernel when it is first launched, so that a first run on a machine waits for one kernel after the
other. Here the launches are gone through beforehand with nothing run, which tells what there is to compile; most of
that work, and what the C compiler does for each kernel, leaves Python's lock to others. The results lie in Triton's
cache on disk, where a later run finds them.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from hashhuman.io.threads import Background


@contextlib.contextmanager
def precompiled(warm_up: Callable[[], object]) -> Iterator[None]:
    """Compiles in threads whatever `warm_up` launches; within the `with`, a launch waits for its own kernel alone.

    The listing's launches do nothing, so that what kernels would write stays as it was allocated. What it leaves out
    is compiled at its first launch, as ever. An error of the compiler is raised at the kernel's launch, and at the end
    if there is none.
    """
    from triton import knobs

    with Background() as background, knobs.runtime.scope():
        compiler = Compiler(background)
        knobs.runtime.jit_cache_hook = compiler
        with compiler.listing():
            warm_up()
        yield


class Compiler:
    """What Triton calls before it compiles a variant of a kernel; to answer True is to have it do nothing.

    Args:
        background: calls functions in threads.
    """

    def __init__(self, background: Callable[..., Future]) -> None:
        self.background = background
        self.listing_only = False
        self.begun: dict[tuple[Any, str], Future] = {}

    @contextlib.contextmanager
    def listing(self) -> Iterator[None]:
        """Meanwhile nothing is launched, and what is not yet being compiled is begun."""
        from triton.runtime import driver

        real: Any = driver.active
        self.target, self.launcher = real.get_current_target(), real.launcher_cls
        driver.set_active(StandInDriver(self.target))  # type: ignore[arg-type]
        self.listing_only = True
        try:
            yield
        finally:
            self.listing_only = False
            driver.set_active(real)

    def __call__(self, *, key: str, fn: Any, compile: Mapping[str, Any], **_: Any) -> bool:
        """`fn` and `compile` say which kernel and how; `key` tells its variants apart."""
        variant = fn.jit_function, key
        if self.listing_only and variant not in self.begun:
            self.begun[variant] = self._begin(fn.jit_function, compile)
        elif not self.listing_only and variant in self.begun:
            self.begun[variant].result()
        return self.listing_only

    def _begin(self, kernel: Any, compile: Mapping[str, Any]) -> Future:
        from triton.compiler import ASTSource

        source = ASTSource(kernel, compile["signature"], compile["constants"], compile["configs"][0])
        source.hash()  # found here once, for helpers that several kernels call
        options = json.loads(compile["specialization_data"])["options"]
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        return self.background(_compile, source, self.target, options, self.launcher)


class StandInDriver:
    """Stands for Triton's driver, with a device of its own, for which no kernel is ever found compiled and launched.

    Args:
        target: the GPU that kernels are compiled for.
    """

    def __init__(self, target: Any) -> None:
        self.target = target

    def get_current_target(self) -> Any:
        """What is compiled for."""
        return self.target

    def get_current_device(self) -> int:
        """None that there is."""
        return -1

    def get_current_stream(self, device: int) -> int:
        """The device's default."""
        return 0


def _compile(source: Any, target: Any, options: Mapping[str, Any], launcher: Callable[[Any, Any], object]) -> None:
    """Fills Triton's cache with the kernel and with the module that launches it."""
    import triton

    kernel: Any = triton.compile(source, target=target, options=options)
    launcher(source, kernel.metadata)
