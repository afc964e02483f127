"""The guard's child process: it makes one kernel after another with a driver, until its parent is gone.

    python -m tritloom.backends.guard_child vulkan IDENTITY
    python -m tritloom.backends.guard_child opencl IDENTITY

What requests and answers hold is a matter of the two halves of one API.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from tritloom.backends.guard import FAILED, GOOD, REFUSED, read_frame, write_frame
from tritloom.codegen.errors import CompileError, TritloomError

Handle = Callable[[bytes], bytes]
"""Makes what a request asks for, and gives what the parent wants to keep. Raises CompileError where it is refused, and
another TritloomError where it will not do for any other request either."""


def serve(begin: Callable[[], Handle]) -> None:
    """Begin, and answer requests until there are no more.

    Drivers that write to the standard output, on being loaded too, write to the other one. Ctrl-C is the parent's.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    handle = begin()
    write_frame(answers, b"ready")
    while request := read_frame(sys.stdin.buffer):
        try:
            answer = bytes([GOOD]) + handle(request)
        except CompileError as error:
            answer = bytes([REFUSED]) + error.message.encode()
        except TritloomError as error:
            answer = bytes([FAILED]) + error.message.encode()
        except Exception as error:  # noqa: BLE001  (as for want of memory: it says nothing about the kernel)
            answer = bytes([FAILED]) + repr(error).encode()
        write_frame(answers, answer)


def _no_core_files() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: list[str]) -> None:
    """Serve for one device."""
    _no_core_files()
    if arguments[0] == "vulkan":
        from tritloom.backends.vulkan_guarded import handler

        serve(lambda: handler(bytes.fromhex(arguments[1])))
    else:
        from tritloom.backends.opencl_guarded import handler as opencl_handler

        serve(lambda: opencl_handler(arguments[1]))
    # A driver's threads may crash when they are torn down, which is nobody's loss now.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
