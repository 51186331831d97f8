"""Packets as a pcap file: its bytes, and another program's reading of them."""

import shutil
import subprocess
from pathlib import Path
from struct import unpack

import pytest

from protocol.sctp import chunks, pcap
from protocol.sctp.config import Role
from protocol.sctp.packets import seal
from tests.protocol.sctp.model_link import make_association

PACKET = seal(chunks.COMMON_HEADER.pack(5000, 5000, 7), chunks.encode_chunk(chunks.COOKIE_ACK))
GOLDEN_FILE = "4d3cb2a1 0200 0400 00000000 00000000 ffff0000 e4000000"
GOLDEN_RECORD = (
    "0f000000 0065cd1d 24000000 24000000"
    " 4500 0024 0000 0000 4084 f652 c0000201 c0000202"
    " 1388 1388 00000007 9ae196fe 0b000004"
)


def test_golden_bytes() -> None:
    assert pcap.FILE_HEADER.hex() == GOLDEN_FILE.replace(" ", "")
    assert pcap.record(PACKET, 15.5, ours=True).hex() == GOLDEN_RECORD.replace(" ", "")


def test_the_peers_packets_come_from_the_peer() -> None:
    one, two = (pcap.record(PACKET, 0.0, ours=ours) for ours in (True, False))
    assert one[28:32] == two[32:36] == pcap.OWN_ADDRESS.packed
    assert one[32:36] == two[28:32] == pcap.PEER_ADDRESS.packed
    assert one[36:] == two[36:] == PACKET


def test_a_long_packet_is_cut_and_its_length_told() -> None:
    cut = pcap.record(bytes(1000), 0.0, ours=True, snap_bytes=100)
    assert len(cut) == 16 + 100
    assert unpack("<LL", cut[8:16]) == (100, 1020)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="there is no tshark")
def test_tshark_reads_a_life(tmp_path: Path) -> None:
    client, server = make_association(Role.CLIENT, 1), make_association(Role.SERVER, 2)
    file = tmp_path / "life.pcap"
    with file.open("wb") as out:
        out.write(pcap.FILE_HEADER)

        def pass_on() -> None:
            for sender, receiver in ((client, server), (server, client)):
                for packet in sender.datagrams_to_send(0.0):
                    out.write(pcap.record(packet, 0.0, ours=sender is client))
                    receiver.receive(packet, 0.0)

        client.connect(0.0)
        for _ in range(4):
            pass_on()
        client.send(client.open_channel("label"), b"hello", 0.0)
        for _ in range(4):
            pass_on()
        client.shutdown(0.0)
        for _ in range(4):
            pass_on()
    assert client.over
    fields = ("-e", "ip.src", "-e", "sctp.chunk_type", "-e", "sctp.checksum.status")
    command = ["tshark", "-o", "sctp.checksum:CRC 32c", "-r", str(file), "-T", "fields", *fields]
    read = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in read.splitlines()]
    kinds = [kind for _, kinds, _ in rows for kind in kinds.split(",")]
    for kind in (chunks.INIT, chunks.INIT_ACK, chunks.COOKIE_ECHO, chunks.COOKIE_ACK):
        assert kinds.count(str(kind)) == 1
    for kind in (chunks.DATA, chunks.SACK, chunks.SHUTDOWN, chunks.SHUTDOWN_COMPLETE):
        assert str(kind) in kinds
    assert rows[0][0] == str(pcap.OWN_ADDRESS)
    assert rows[1][0] == str(pcap.PEER_ADDRESS)
    assert {status for _, _, status in rows} == {"1"}, "every checksum is good"
