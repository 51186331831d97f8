"""The simulated internet under a virtual loop's datagram endpoints.

Hosts with addresses, boxes by RFC 4787, lines with rates and queues, faults, partitions, sleep.
Start at `Internet`; the other names are what its methods take and return.
"""

from simulations.internet.boxes.behaviour import (
    Dependence,
    Hairpinning,
    NatBehaviour,
    PortAssignment,
)
from simulations.internet.boxes.firewall import Firewall
from simulations.internet.boxes.gateway import Gateway, GatewayFaults, StaticMapping
from simulations.internet.boxes.nat import Nat
from simulations.internet.host import Host, Socket
from simulations.internet.internet import Internet
from simulations.internet.latency import (
    PLANETLAB_RTT_MS,
    Latency,
    MatrixLatency,
    SyntheticLatency,
    UniformLatency,
    rtt_percentiles_ms,
    triangle_violations,
)
from simulations.internet.lines import Access, Burst, Faults
from simulations.internet.log import EventLog, Fate, Kind

__all__ = [
    "PLANETLAB_RTT_MS",
    "Access",
    "Burst",
    "Dependence",
    "EventLog",
    "Fate",
    "Faults",
    "Firewall",
    "Gateway",
    "GatewayFaults",
    "Hairpinning",
    "Host",
    "Internet",
    "Kind",
    "Latency",
    "MatrixLatency",
    "Nat",
    "NatBehaviour",
    "PortAssignment",
    "Socket",
    "StaticMapping",
    "SyntheticLatency",
    "UniformLatency",
    "rtt_percentiles_ms",
    "triangle_violations",
]
