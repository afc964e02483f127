"""First floor: what a device is. One file a device API: find, describe, allocate, compile, launch, time.

Here live also the compile cache and the tuner with its records.
"""
