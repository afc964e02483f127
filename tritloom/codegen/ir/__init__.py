"""The two program forms, tensor IR and tile IR: dtypes, shapes, nodes, verifiers, printers, interpreter.

The interpreter is the definition: whatever a target computes is right when it agrees with this room.
"""
