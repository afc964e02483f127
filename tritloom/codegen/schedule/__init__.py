"""From tensor IR to tile kernels: what shares a kernel, in what order kernels run, where buffers live."""
