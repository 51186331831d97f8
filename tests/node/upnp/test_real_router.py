"""The ports that a real router forwards: miniupnpd on nftables, in network namespaces."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.node.upnp.real_router import OUTSIDE, PORT

NEEDED = ("unshare", "ip", "nft", "miniupnpd")
OTHERS = "another machine's or program's"


def behind(mode: str) -> dict[str, Any]:
    if os.geteuid() != 0 or not all(map(shutil.which, NEEDED)):
        pytest.skip(f"it needs root and {', '.join(NEEDED)}")
    python = (sys.executable, "-m", "tests.node.upnp.real_router", mode)
    told = subprocess.run(
        ("unshare", "--net", *python), capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
@pytest.mark.parametrize(
    ("mode", "refusal", "at_443", "at_443_later"),
    [
        ("all", "", "node", ""),
        ("usual", "not authorized", "", ""),
        ("machine", OTHERS, "machine", "machine"),
        ("program", OTHERS, "program", "program"),
    ],
)
def test_connections_come_in_by_what_a_real_router_forwards(
    mode: str, refusal: str, at_443: str, at_443_later: str
) -> None:
    """Also where it lets no port below 1024 be mapped, or has one mapped for others already."""
    found = behind(mode)
    assert found["told"] == [OUTSIDE, PORT]
    assert found["came"] == {str(PORT): "node", "443": at_443}
    assert found["forwarded"] == ([PORT] if refusal else [PORT, 443])
    assert list(found["refusals"]) == (["443"] if refusal else [])
    assert refusal in found["refusals"].get("443", "")
    assert found["left"] == {"UDP": None, "TCP": None}
    assert found["gone"] == {str(PORT): "", "443": at_443_later}
