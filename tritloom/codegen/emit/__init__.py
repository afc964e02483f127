"""Emitters: each prints lowered kernels for one target language and decides nothing else."""
