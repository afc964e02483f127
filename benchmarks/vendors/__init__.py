"""Compiles a training step's kernels with the compilers of many vendors' GPUs, and says what they made of them."""
