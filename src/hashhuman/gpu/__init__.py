"""What all kernels share: the choice between Triton and PyTorch, the layout of rows, capacities and CUDA graphs."""
