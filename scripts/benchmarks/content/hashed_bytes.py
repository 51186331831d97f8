"""Counts the bytes that go through SHA-256, by whatever code."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock


class HashedBytes:
    """`total` counts what any thread of this process hashes by `hashlib.sha256`."""

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def counting(self) -> Iterator["HashedBytes"]:
        """Count while inside."""
        sha256, count = hashlib.sha256, self._count

        class CountingHash:
            """SHA-256 that counts."""

            def __init__(self, data: Any = b"", **options: bool) -> None:
                count(data)
                self._hash = sha256(data, **options)

            def update(self, data: Any) -> None:
                """Hash more."""
                count(data)
                self._hash.update(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._hash, name)

        with mock.patch.object(hashlib, "sha256", CountingHash):
            yield self

    def _count(self, data: Any) -> None:
        with self._lock:
            self.total += memoryview(data).nbytes
