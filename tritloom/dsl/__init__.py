"""Second floor: what a user writes: kernels in the tile language, tensor functions, jit and gradients."""
