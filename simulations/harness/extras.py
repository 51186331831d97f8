"""Libraries that a plain installation lacks, and the sentence that says how to get one."""

import importlib
import shlex
import sys
from pathlib import Path
from typing import Any

from simulations.errors import ExtraMissing

_CHECKOUT = Path(__file__).parents[2]


def require(module: str, extra: str = "simulations") -> Any:
    """The module of this name, which comes with an extra of setup.cfg; raises ExtraMissing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise ExtraMissing(f"this needs {module}. Install it with: {_command(extra)}") from None


def _command(extra: str) -> str:
    """What a shell takes: into the environment that we run in, from its checkout if it has one."""
    if (_CHECKOUT / "setup.cfg").is_file():
        words = (sys.executable, "-m", "pip", "install", "--editable", f"{_CHECKOUT}[{extra}]")
        return shlex.join(words)
    return f"pipx install --force '.[{extra}]' in modswarm's checkout"
