"""nftables for a router of the lab, as text. Its interfaces are `wan` and `lan`."""

from scripts.lab.kinds import MAPPING_S, Filtering, Hairpin, Mapping, Nat

UPNP_TABLE = "lab"

_SEQUENCE = range(20_000, 24_096)
"""External ports of a sequential mapping. `numgen` alone counts in the wrong byte order, so a map
names each of them."""

_TURNED = 1
"""The mark of packets from inside that go back inside."""


def router(nat: Nat, external: str | None, *, ipv6: bool = False) -> str:
    """The ruleset of a router with this external IPv4 address; None: it has no IPv4."""
    chains = [*_filters(nat), *(_translation(nat, external) if external else ())]
    if nat.upnp:
        chains += [f"chain {name} {{ }}" for name in ("miniupnpd", "upnp_nat", "upnp_post")]
    if not ipv6:
        chains.append(_chain("no6", "filter", "forward", -10, "meta nfproto ipv6 drop"))
    return f"table inet {UPNP_TABLE} {{\n" + "\n".join(chains) + "\n}\n"


def _chain(name: str, kind: str, hook: str, priority: int, *rules: str, policy: str = "") -> str:
    head = f"type {kind} hook {hook} priority {priority}; policy {policy or 'accept'};"
    return f"chain {name} {{\n  {head}\n" + "".join(f"  {rule}\n" for rule in rules) + "}"


def _filters(nat: Nat) -> list[str]:
    inward = (
        "ct state established,related accept",
        'iifname { "lo", "lan" } accept',
        "meta l4proto { icmp, ipv6-icmp } accept",
    )
    forward = [
        *(["meta l4proto udp drop"] if nat.blocks_udp else []),
        *(["jump miniupnpd"] if nat.upnp else []),
        "ct state established,related accept",
        'iifname "lan" accept',
        "ct status dnat accept",
        "meta l4proto { icmp, ipv6-icmp } accept",
    ]
    return [
        _chain("input", "filter", "input", 0, *inward, policy="drop" if nat.drops_input else ""),
        _chain("forward", "filter", "forward", 0, *forward, policy="drop"),
    ]


def _translation(nat: Nat, external: str) -> list[str]:
    chains = []
    if nat.filtering is not Filtering.ADDRESS_AND_PORT or nat.hairpin is not Hairpin.NONE:
        chains += _learning()
    inward = []
    if nat.upnp:
        inward.append('iifname "wan" jump upnp_nat')
    if nat.filtering is Filtering.ENDPOINT_INDEPENDENT:
        inward.append('iifname "wan" meta l4proto udp dnat ip to udp dport map @inside')
    if nat.filtering is Filtering.ADDRESS:
        inward.append('iifname "wan" meta l4proto udp dnat ip to ip saddr . udp dport map @known')
    if nat.hairpin is not Hairpin.NONE:
        to_itself = f'iifname "lan" ip daddr {external} meta l4proto udp'
        inward.append(f"{to_itself} meta mark set {_TURNED} dnat ip to udp dport map @inside")
    outward = ['oifname "wan" jump upnp_post'] if nat.upnp else []
    if nat.hairpin is Hairpin.OUTER:
        turned = f'oifname "lan" meta mark {_TURNED} meta l4proto udp'
        outward.append(f"{turned} snat ip to {external}")
    outward.append(_source(nat.mapping, external))
    return [
        *chains,
        _chain("inward", "nat", "prerouting", -100, *inward),
        _chain("outward", "nat", "postrouting", 100, *outward),
    ]


def _source(mapping: Mapping, external: str) -> str:
    if mapping is Mapping.SEQUENTIAL:
        ports = ", ".join(f"{index} : {port}" for index, port in enumerate(_SEQUENCE))
        counted = f"numgen inc mod {len(_SEQUENCE)} map {{ {ports} }}"
        return f'oifname "wan" meta l4proto udp snat ip to {external} : {counted}'
    randomly = " fully-random" if mapping is Mapping.RANDOM else ""
    return f'oifname "wan" meta nfproto ipv4 masquerade{randomly}'


def _learning() -> list[str]:
    """Maps of who sends from which port, and to whom; masquerading keeps the ports."""
    flags = f"flags dynamic,timeout; timeout {MAPPING_S}s;"
    seen = 'oifname "wan" meta nfproto ipv4 meta l4proto udp'
    return [
        f"map inside {{ type inet_service : ipv4_addr; {flags} }}",
        f"map known {{ type ipv4_addr . inet_service : ipv4_addr; {flags} }}",
        _chain(
            "learn",
            "filter",
            "postrouting",
            90,
            f"{seen} update @inside {{ udp sport : ip saddr }}",
            f"{seen} update @known {{ ip daddr . udp sport : ip saddr }}",
        ),
    ]


def upnp_config() -> str:
    """The configuration of miniupnpd on such a router."""
    return (
        "ext_ifname=wan\nlistening_ip=lan\nport=0\nenable_natpmp=no\nenable_upnp=yes\n"
        f"upnp_table_name={UPNP_TABLE}\nupnp_nat_table_name={UPNP_TABLE}\n"
        "upnp_forward_chain=miniupnpd\nupnp_nat_chain=upnp_nat\n"
        "upnp_nat_postrouting_chain=upnp_post\nsecure_mode=yes\nsystem_uptime=yes\n"
        "uuid=8f2e09ee-9954-4082-a231-9c99d1e76538\n"
        "allow 1024-65535 192.168.0.0/16 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
    )
