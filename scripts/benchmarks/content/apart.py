"""What a measurement in a process of its own needs: a publisher without a node, and a runner."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from node.content.homes import HomeGuard
from node.content.publish.own_lineages import OwnLineages
from node.content.publish.publisher import Publisher
from node.content.vault.vault import Vault
from node.environment import Environment
from protocol.identity import Identity

_LIMIT_S = 600.0
_SAID_CHARS = 300


def publisher_of(vault: Vault, home: Path, environment: Environment) -> Publisher:
    """Publishes into a vault for an identity that solves no puzzle; nothing below `home`."""
    lineages = OwnLineages(vault, environment, Identity(bytes(32)), puzzle_bits=0)
    return Publisher(vault, environment, HomeGuard(home), lineages)


def told_by(module: str, *words: object) -> Any:
    """What `python -m module WORDS` prints, which is JSON; raises RuntimeError where it fails."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S)
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr.strip()[-_SAID_CHARS:]}")
    return json.loads(done.stdout)
