"""The rival that has a server: nginx, and curl as its getter."""

import contextlib
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts.benchmarks.content.commands import end, free_port, timed
from scripts.benchmarks.content.places import Place

_UP_S = 10.0
_POLL_S = 0.02
_CONFIGURATION = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; tcp_nopush on; server_tokens off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen {address}:{port}; root {root}; }}
}}
"""


def why_not() -> str | None:
    """What this machine lacks, or None."""
    for tool in ("nginx", "curl"):
        if shutil.which(tool) is None:
            return f"there is no {tool} (of Debian: apt install nginx-light curl)"
    return None


@dataclass(frozen=True, slots=True)
class Download:
    """One `curl`: by its own clock, the whole command, and its processor time."""

    seconds: float
    first_byte_s: float
    whole_s: float
    cpu_s: float


class Server:
    """A running nginx."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._process = psutil.Process(pid)

    def get(self, place: Place, name: str, target: Path) -> Download:
        """Fetch a file there; raises RuntimeError."""
        form = "%{time_total} %{time_starttransfer}"
        command = ("curl", "-sSf", "-w", form, "-o", str(target), f"{self.url}/{name}")
        ran = timed([*place.prefix, *command])
        if ran.status:
            raise RuntimeError(f"curl: {ran.errors.strip()}")
        seconds, first = map(float, ran.output.split())
        return Download(seconds, first, ran.seconds, ran.cpu_s)

    def cpu_s(self) -> float:
        """The processor time of the server so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def server(place: Place, root: Path, folder: Path) -> Iterator[Server]:
    """Serve the files of a folder."""
    folder.mkdir()
    port = free_port()
    values = {"folder": folder, "address": place.address, "port": port, "root": root}
    file = folder / "nginx.conf"
    file.write_text(_CONFIGURATION.format(**values))
    command = ("nginx", "-e", "stderr", "-p", str(folder), "-c", str(file))
    with (folder / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            [*place.prefix, *command], stdin=subprocess.DEVNULL, stderr=errors
        )
    try:
        url = f"http://{place.address}:{port}"
        place.within(lambda: _wait(url, process, folder / "errors.txt"))
        yield Server(url, process.pid)
    finally:
        end(process)


def _wait(url: str, process: "subprocess.Popen[bytes]", errors: Path) -> None:
    deadline = time.monotonic() + _UP_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/nothing", timeout=1)  # noqa: S310 (our own server)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(_POLL_S)
    raise RuntimeError(f"nginx did not start: {errors.read_text()[-300:]}")
