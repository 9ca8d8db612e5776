"""Gradients of the weighted sum of the terms; on a GPU they are captured in a CUDA graph."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hashhuman.gpu.cuda_graph import capture, on_side_stream
from preprocess.body_fit.optimise.terms import Terms


class ObjectiveGradients:
    """The gradients of a weighted sum of terms with respect to some parameters of their sequence.

    A step launches about a thousand kernels of a few microseconds each, and the host needs ten times as long to launch
    them as the GPU to run them. On a GPU they are therefore captured, and replayed until a search for correspondences
    finds another number of them. The body's basis is left out of the graph, since the body model stays on the CPU.

    Args:
        terms: the terms, and with them the sequence.
        weights: {term: weight}.
        free: names of the parameters of the sequence to differentiate with respect to.
    """

    def __init__(self, terms: Terms, weights: Mapping[str, float], free: Sequence[str]) -> None:
        self.terms, self.weights, self.free = terms, weights, free
        self.parameters = [getattr(terms.sequence, name) for name in free]
        self.basis = terms.sequence.basis().detach().to(self.parameters[0].device).requires_grad_()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.gradients: Sequence[Tensor] = ()
        self.ready = False  # whether every kernel has run once, as capture requires

    def rematch(self) -> None:
        """Searches for correspondences again, for the body with the current parameters."""
        sequence = self.terms.sequence
        sequence.refresh_normals()
        with torch.no_grad():
            unchanged = self.terms.match(sequence(), self.weights)
        if self.basis.is_cuda and not (unchanged and self.graph):
            self.graph = None  # frees its memory before the next one
            if not self.ready:
                on_side_stream(self._gradients)
                self.ready = True
            self.graph, self.gradients = capture(self._gradients)

    def __call__(self) -> None:
        """Sets `grad` of the parameters."""
        basis = self.terms.sequence.basis()
        with torch.no_grad():
            self.basis.copy_(basis)
        if self.graph is None:
            self.gradients = self._gradients()
        else:
            self.graph.replay()
        of_basis, *gradients = self.gradients
        for name, parameter, gradient in zip(self.free, self.parameters, gradients):
            if name == "shape":
                (through_basis,) = torch.autograd.grad(basis, parameter, of_basis.to(basis.device))
                gradient = gradient + through_basis
            parameter.grad = gradient

    def _gradients(self) -> Sequence[Tensor]:
        """The gradient with respect to the basis, then to each parameter with the basis held constant."""
        posed = self.terms.sequence(self.basis)
        values = [weight * getattr(self.terms, name)(posed) for name, weight in self.weights.items()]
        return torch.autograd.grad(torch.stack(values).sum(), [self.basis, *self.parameters], materialize_grads=True)
