"""Fields of experiments' parameters, with the help that the command line shows."""

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from simulations.internet.latency import Latency, MatrixLatency, SyntheticLatency


def option(default: Any, help_text: str, choices: Sequence[Any] | None = None) -> Any:
    """A parameter with its default and its help text."""
    return field(default=default, metadata={"help": help_text, "choices": choices})


def latency_of(matrix: Path | None, seed: int) -> Latency:
    """The measured matrix, or the synthetic model of this seed; raises BadLatencyFile."""
    return MatrixLatency(matrix) if matrix is not None else SyntheticLatency(seed)
