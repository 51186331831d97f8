"""Serial numbers that wrap, made into integers that do not.

TSNs have 32 bits and stream sequence numbers 16, both compared by RFC 1982. Inside this package a
TSN is an ordinary integer that only grows; its low 32 bits are what travels.
"""

TSN_MASK = 0xFFFFFFFF
TSN_HALF = 0x80000000
SSN_MASK = 0xFFFF
SSN_HALF = 0x8000


def tsn_distance(newer: int, older: int) -> int:
    """Return by how much a TSN is ahead of another one; negative if behind (RFC 1982, 3.2)."""
    ahead = (newer - older) & TSN_MASK
    return ahead if ahead < TSN_HALF else ahead - (TSN_MASK + 1)


def ssn_is_ahead(candidate: int, reference: int) -> bool:
    """Whether a stream sequence number comes after another one."""
    return 0 < (candidate - reference) & SSN_MASK < SSN_HALF
