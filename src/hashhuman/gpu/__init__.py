"""What is common to all kernels: the choice between Triton and PyTorch, row layout, fixed sizes, CUDA graphs."""
