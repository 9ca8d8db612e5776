"""Triton's kernels on the CPU."""

import os


def interpret_kernels() -> None:
    """Makes Triton run kernels in its interpreter; call this before anything else imports triton."""
    os.environ["TRITON_INTERPRET"] = "1"
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patch_for_new_numpy(tensor, scope) -> None:
        """Triton 3.6 makes loop bounds of arrays of one number by `int`, which numpy 2.4 refuses."""
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    interpreter._patch_lang_tensor = patch_for_new_numpy
