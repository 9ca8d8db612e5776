"""Adam for hash tables on a CPU: entries that a step did not touch are left alone."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashhuman.cpu.loops import compiled, in_parallel
from hashhuman.errors import UserError

WIDEST = 8  # numbers; rows that are longer are none of a table


@compiled
def _update_rows(first, last, value, gradient, mean, square, rate, beta1, beta2, correction, eps, lanes):
    """Updates rows of a table; a row whose gradient is zero stays as it is, and so do its moments."""
    one = np.float32(1)
    for row in range(first, last):
        touched = False
        for f in range(len(lanes)):
            touched |= gradient[row, f] != 0
        if touched:
            for f in range(len(lanes)):
                g = gradient[row, f]
                m = mean[row, f] + (one - beta1) * (g - mean[row, f])
                v = beta2 * square[row, f] + (one - beta2) * g * g
                mean[row, f], square[row, f] = m, v
                value[row, f] -= rate * m / (np.sqrt(v) * correction + eps)


class TouchedAdam(torch.optim.Adam):
    """Adam that updates only those rows of tables of which a step has a gradient; on a CPU.

    Tables are parameters of two dimensions with rows of at most 8 numbers. In a step of few rays most of their rows have
    no gradient. Plain Adam moves these on by their mean of earlier gradients, and must read and write all of them.
    (Müller et al., "Instant Neural Graphics Primitives", 2022, Sec. 4, leave them alone, too.) All other parameters are
    updated as usual. States are those of `torch.optim.Adam`.

    Args:
        params, lr, betas, eps, fused: as for `torch.optim.Adam`.

    Raises:
        UserError: if a parameter is not on the CPU.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        fused: bool = True,
    ) -> None:
        super().__init__(params, lr=lr, betas=tuple(betas), eps=eps, fused=fused)
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            raise UserError("TouchedAdam runs on the CPU only: choose optimizer=adam.")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Updates all parameters that have gradients. Returns what the closure returns, if there is one."""
        tables = [
            (p, p.grad, group) for group in self.param_groups for p in group["params"] if _table(p) and p.grad is not None
        ]
        for table, *_ in tables:
            table.grad = None  # so that what is not a table is updated by the class above
        result = super().step(closure)
        for table, gradient, group in tables:
            self._update(table, gradient, group)
            table.grad = gradient
        return result

    def _update(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(table), torch.zeros_like(table)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), group["betas"]
        rate = group["lr"] / (1 - beta1**step)
        correction = 1 / math.sqrt(1 - beta2**step)
        numbers = (np.float32(x) for x in (rate, beta1, beta2, correction, group["eps"]))
        arrays = (x.detach().numpy() for x in (table, gradient, state["exp_avg"], state["exp_avg_sq"]))
        in_parallel(_update_rows, len(table), *arrays, *numbers, (0,) * table.shape[1], at_least=1 << 14)


def _table(parameter: Tensor) -> bool:
    return parameter.ndim == 2 and parameter.shape[1] <= WIDEST and parameter.dtype == torch.float32
