"""The most memory that this process has had at once."""

from pathlib import Path

_MEGA = 1e6
_KIB = 1024


def peak_mb() -> float:
    """In MB; -1 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return -1.0
    # Not what `getrusage` says: that begins with the peak of the process that started this one.
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return round(kib * _KIB / _MEGA, 1)
