"""One libtorrent client over TCP: `python torrent_peer.py OPTIONS`, with JSON.

It says "ready" when it listens, and a seed once it has checked what it has. A getter then gets a
line with the peers that it may ask, and says what it took. Each goes on seeding until its input
ends. `hash` makes the torrent's file first and says the seconds of that.
"""

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

lt: Any = importlib.import_module("libtorrent")

_WAIT_MS = 1000
_POLL_S = 0.01


def say(value: Any) -> None:
    """Print a line of JSON."""
    print(json.dumps(value), flush=True)


def make_torrent(source: Path, torrent: Path) -> float:
    """Hash a folder as torrents of version 1 are; the seconds of it."""
    files = lt.list_files(str(source))
    started = time.perf_counter()
    made = lt.create_torrent(files, 0, lt.create_torrent.v1_only)
    lt.set_piece_hashes(made, str(source.parent))
    seconds = time.perf_counter() - started
    torrent.write_bytes(lt.bencode(made.generate()))
    return seconds


def open_session(address: str, port: int) -> Any:
    """A client that talks TCP, and only to whom it is told to."""
    return lt.session(
        {
            "listen_interfaces": f"{address}:{port}",
            "enable_dht": False,
            "enable_lsd": False,
            "enable_upnp": False,
            "enable_natpmp": False,
            "enable_incoming_utp": False,
            "enable_outgoing_utp": False,
            "allow_multiple_connections_per_ip": True,
            "alert_mask": lt.alert.category_t.status_notification
            | lt.alert.category_t.error_notification,
        }
    )


def wait_for(session: Any, kind: Any) -> None:
    """Wait for an alert."""
    while True:
        session.wait_for_alert(_WAIT_MS)
        for alert in session.pop_alerts():
            if isinstance(alert, kind):
                return
            if alert.category() & lt.alert.category_t.error_notification:
                raise RuntimeError(alert.message())


def run(torrent: str, folder: str, address: str, port: int, *, seeds: bool) -> None:
    """Seed, or fetch and seed."""
    session = open_session(address, port)
    wait_for(session, lt.listen_succeeded_alert)
    if not seeds:
        say("ready")
    peers = [] if seeds else json.loads(sys.stdin.readline())
    cpu_s, started = time.process_time(), time.perf_counter()
    given = lt.add_torrent_params()
    given.ti = lt.torrent_info(torrent)
    given.save_path = folder
    given.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
    if seeds:
        given.flags |= lt.torrent_flags.seed_mode
    handle = session.add_torrent(given)
    for host, there in peers:
        handle.connect_peer((host, there))
    if seeds:
        while not handle.status().is_seeding:
            time.sleep(_POLL_S)
    else:
        wait_for(session, lt.torrent_finished_alert)
    took = {
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu_s,
        "bytes_fetched": handle.status().total_payload_download,
    }
    say("ready" if seeds else took)
    for _ in sys.stdin:
        say({"cpu_s": time.process_time()})


def main() -> None:
    """Do what the options say."""
    given = json.loads(sys.argv[1])
    if "hash" in given:
        say(make_torrent(Path(given["hash"]), Path(given["torrent"])))
        return
    run(**given)


if __name__ == "__main__":
    main()
