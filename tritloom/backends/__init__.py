"""First floor: what a device is. One file a device API: find, describe, allocate, compile, launch, time.

Here live also the compile cache, and the guard that lets drivers compile in a child process first.
"""
