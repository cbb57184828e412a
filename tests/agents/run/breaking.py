"""A disk that stops working: the operating system refuses system calls of this process from now on."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

NUMBERS = {"pwrite64": 18, "fsync": 74, "fdatasync": 75, "seccomp": 317}
"""On x86-64 Linux, the only place where this works: https://man7.org/linux/man-pages/man2/seccomp.2.html."""
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NO_NEW_PRIVILEGES, SET_MODE_FILTER, ALL_THREADS = 38, 1, 1
READ_ONLY = ("pwrite64", errno.EROFS)
NO_SYNC = ("fsync", errno.EIO), ("fdatasync", errno.EIO)


class Filter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


def refuse(*calls: tuple[str, int]) -> None:
    """Each system call of these names fails with the error beside it, in all threads, until the process ends.

    :raises OSError: this system does not let a process do so.
    """
    code = struct.pack("HBBI", LOAD, 0, 0, 0)
    for name, error in calls:
        code += struct.pack("HBBI", JUMP_IF_EQUAL, 0, 1, NUMBERS[name]) + struct.pack(
            "HBBI", RETURN, 0, 0, ERRNO | error
        )
    code += struct.pack("HBBI", RETURN, 0, 0, ALLOW)
    program = ctypes.create_string_buffer(code, len(code))
    rules = Filter(len(code) // 8, ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.syscall(
        NUMBERS["seccomp"], SET_MODE_FILTER, ALL_THREADS, ctypes.byref(rules)
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
