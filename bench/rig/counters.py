"""What a process used between two moments: its processor time, and its instructions where they are counted."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

from attrs import define, field

_SYSCALL = {"x86_64": 298, "aarch64": 241}
"""perf_event_open(2), by machine."""

_INHERIT, _NO_KERNEL, _NO_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6


@define(eq=False)
class Used:
    """Counts from its making on. pid: of a process on this machine; threads that it starts later count too."""

    pid: int
    _files: list[int] = field(factory=list, init=False)
    _cpu_ns: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        for task in os.listdir(f"/proc/{self.pid}/task"):
            file = _instructions_of(int(task))
            if file < 0:  # a virtual machine without counters, or forbidden
                self.close()
                break
            self._files.append(file)
        self._cpu_ns = self._cpu_now()

    def _cpu_now(self) -> int:
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (OSError, IndexError, ValueError):  # the thread has just ended
                continue
        return total

    def cpu_us(self) -> float:
        return (self._cpu_now() - self._cpu_ns) / 1000

    def instructions(self) -> int | None:
        """In user space; None where the system counts none."""
        counts = [struct.unpack("Q", os.read(file, 8))[0] for file in self._files]
        return sum(counts) if counts else None

    def close(self) -> None:
        for file in self._files:
            os.close(file)
        self._files.clear()


def _instructions_of(task: int) -> int:
    """A descriptor that counts a thread's instructions in user space; negative where there is none."""
    number = _SYSCALL.get(os.uname().machine)
    if number is None:
        return -1
    attributes = bytearray(128)
    struct.pack_into("IIQ", attributes, 0, 0, len(attributes), 1)  # a hardware counter, of instructions
    struct.pack_into("Q", attributes, 40, _INHERIT | _NO_KERNEL | _NO_HYPERVISOR)
    call = ctypes.CDLL(None, use_errno=True).syscall
    return int(call(number, (ctypes.c_char * len(attributes)).from_buffer(attributes), task, -1, -1, 0))
