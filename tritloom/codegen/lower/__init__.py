"""From tile IR to a machine's form: vector code for a CPU; threads, barriers and shared memory for a GPU.

A strategy is picked from the target's description (vector width, dot instructions, memory), never from a
vendor's name.
"""
