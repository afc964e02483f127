"""Ground floor: what a program is, and how it becomes code. Needs no device and knows none.

The way runs from tensor IR (:mod:`~tritloom.codegen.ir`) through the gradient rules and the scheduler
(:mod:`~tritloom.codegen.schedule`) to tile kernels, which are lowered (:mod:`~tritloom.codegen.lower`) and
printed for a target (:mod:`~tritloom.codegen.emit`).
"""
