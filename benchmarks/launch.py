"""Run one command and say what it cost: ``python -I -S launch.py OUTPUT COMMAND...``.

A process of its own, because Linux counts the memory that a parent had at the moment of the fork towards its
child's peak: started from a benchmark that holds gigabytes, every command would seem to need gigabytes.
This one holds next to nothing.
"""

from __future__ import annotations

import os
import sys
import time


def main() -> int:
    """Run the command, standard output into a file; print wall and CPU seconds and peak bytes of memory."""
    output, *command = sys.argv[1:]
    to_output = (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    begin = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=[to_output])
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - begin
    # POSIX leaves the unit open: kibibytes, except on macOS.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(wall, usage.ru_utime + usage.ru_stime, peak)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
