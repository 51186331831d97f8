"""Pairs of versions: one file changed in many places, wheels of PyPI, and a package of assets."""

import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from scripts.benchmarks.content import sources

_MB = 1_000_000
_PLACES = 200
_CHANGED = 0.01
_WHEELS = {"numpy": ("2.3.4", "2.3.5"), "matplotlib": ("3.10.8", "3.10.9")}
_DOWNLOAD_S = 120
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64")
_TEXTURES = 12
_PAINTED = 6

Pair = tuple[Path, Path]
"""The folders of two versions."""


def many_places(folder: Path, size: int) -> Pair:
    """One file of which 1 % of the bytes are other ones, in 200 places."""
    before = sources.one_file(folder / "before", size, 41)
    after = folder / "after"
    shutil.copytree(before, after)
    data = bytearray((after / "mod.bin").read_bytes())
    rng = random.Random(42)
    each = changed_bytes(size) // _PLACES
    for number in range(_PLACES):
        at = size * number // _PLACES + rng.randrange(size // _PLACES - each)
        data[at : at + each] = rng.randbytes(each)
    (after / "mod.bin").write_bytes(data)
    return before, after


def changed_bytes(size: int) -> int:
    """How many bytes of `many_places` are other ones."""
    return int(size * _CHANGED) // _PLACES * _PLACES


def wheels(folder: Path, name: str) -> Pair | None:
    """Two wheels of a package, unpacked; None where they cannot be had."""
    unpacked = []
    for version in _WHEELS[name]:
        place = folder / version
        platforms = [word for one in _PLATFORMS for word in ("--platform", one)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--only-binary", ":all:", "--python-version", "311", "--dest", str(place)]
        try:
            subprocess.run(
                [*command, *options, *platforms, f"{name}=={version}"],
                check=True,
                capture_output=True,
                timeout=_DOWNLOAD_S,
            )
        except (subprocess.SubprocessError, OSError):
            return None
        (wheel,) = place.glob("*.whl")
        unpacked.append(place / "mod")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked[-1])
        wheel.unlink()
    return unpacked[0], unpacked[1]


def assets(folder: Path) -> Pair:
    """Textures that pack to less than half; six were painted over in a corner; and a list."""
    rng = random.Random(43)
    before, after = folder / "before", folder / "after"
    before.mkdir(parents=True)
    for number in range(_TEXTURES):
        (before / f"texture{number:02}.tex").write_bytes(_texture(rng, _MB + number * 31_337))
    (before / "list.json").write_text('{"version": 1}\n')
    shutil.copytree(before, after)
    for number in range(_PAINTED):
        painted = after / f"texture{number:02}.tex"
        data = bytearray(painted.read_bytes())
        data[500_000:500_900] = _texture(rng, 900)
        painted.write_bytes(data)
    (after / "list.json").write_text('{"version": 2, "painted": 6}\n')
    return before, after


def _texture(rng: random.Random, size: int) -> bytes:
    tones = bytes(rng.sample(range(256), 8) * 32)
    return rng.randbytes(size).translate(tones)


def zipped(pair: Pair, folder: Path) -> Pair:
    """The same versions, each as one deflated zip."""
    return _zip(pair[0], folder / "before"), _zip(pair[1], folder / "after")


def _zip(source: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    with zipfile.ZipFile(target / "mod.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(source):
            info = zipfile.ZipInfo(path.relative_to(source).as_posix())
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
