"""Real nodes behind routers of every kind: `./scripts/netlab [--only KIND,KIND] [--json FILE]`.

The lab is an internet of network namespaces on this machine: a core that routes prefixes that look
real, and around it sites, each with a router of the kernel's own NAT (nftables). Nothing leaves the
namespaces. It first asks each router by a probe of its own what it does in the terms of RFC 4787,
then starts a node (`modswarm run`) at each site and lets each call each other.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

from node.machine import streams
from scripts.lab import changes, goodput, measure, report
from scripts.lab.kinds import KINDS, TWOSOMES, Kind, Twosome
from scripts.lab.lab import Lab
from scripts.lab.matrix import Outcome, faults_of, rounds
from scripts.lab.net.spaces import remove_leftovers, why_not
from scripts.lab.net.topology import internet
from scripts.lab.probe import Finding

DELAY_MS = 20.0
"""Callers and callees are that far from each other: half a round trip in a small country."""

_SKIPPED = 77
"""What a test harness takes for skipped, as automake's does."""


def main() -> None:
    """Parse, build, probe, call, print."""
    given = _parse()
    if given.list:
        _list()
        return
    _end_in_order()
    missing = why_not()
    if missing:
        print(f"The lab cannot run here: {missing}.", file=sys.stderr)
        sys.exit(_SKIPPED)
    for name in remove_leftovers():
        print(f"Removed what an earlier lab left: {name}", file=sys.stderr)
    sys.exit(0 if _run(given, *_sites(given)) else 1)


def _sites(given: argparse.Namespace) -> tuple[list[Kind], list[Twosome]]:
    """What is to be built."""
    if given.changes:
        return changes.kinds(changes.chosen(given.only)), []
    if given.measure:
        return measure.punching_kinds(given.measure), []
    if given.goodput:
        return goodput.kinds(chosen(given.only)[0] if given.only else None), []
    return chosen(given.only)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="netlab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", metavar="KIND,KIND", help="only these kinds and their pairs, or changes"
    )
    parser.add_argument("--list", action="store_true", help="say which kinds there are, and end")
    parser.add_argument("--probe", action="store_true", help="only probe the routers, and end")
    parser.add_argument("--keep", action="store_true", help="let the lab stand until Ctrl-C")
    parser.add_argument("--by-hand", action="store_true", help="let no node call; with --keep")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there")
    parser.add_argument(
        "--unreachable", action="store_true", help="start nodes behind routers with --unreachable"
    )
    parser.add_argument(
        "--measure",
        type=int,
        metavar="PAIRS",
        help="instead of the matrix: how fast so many pairs punch two port-restricted routers",
    )
    parser.add_argument(
        "--changes",
        action="store_true",
        help="instead of the matrix: one transfer each while a router forgets, a relay dies, ...",
    )
    parser.add_argument(
        "--goodput",
        action="store_true",
        help="instead of the matrix: how much of its line a network without UDP gets",
    )
    parser.add_argument(
        "--line",
        type=float,
        default=goodput.LINE_MB_S,
        metavar="MB/S",
        help=f"with --goodput: the line of each network, by default {goodput.LINE_MB_S:g}",
    )
    parser.add_argument(
        "--relay-rate",
        type=float,
        metavar="MB/S",
        help="with --goodput: what each node relays in all; by default what nodes do",
    )
    parser.add_argument(
        "--idle",
        type=float,
        metavar="SECONDS",
        help="after the matrix: leave all links alone for so long, then use each",
    )
    parser.add_argument(
        "--logs", type=Path, metavar="DIR", help="let the nodes log what they do, and keep it there"
    )
    parser.add_argument(
        "--pcap", type=Path, metavar="DIR", help="keep every host's UDP there, by dumpcap"
    )
    parser.add_argument(
        *("--delay", "-d"),
        type=float,
        metavar="MS",
        help="between the two halves of the internet, one way; by default"
        f" {DELAY_MS:.0f}, and {goodput.DELAY_MS:.0f} with --goodput",
    )
    given = parser.parse_args()
    if given.delay is None:
        given.delay = goodput.DELAY_MS if given.goodput else DELAY_MS
    return given


def chosen(only: str | None) -> tuple[list[Kind], list[Twosome]]:
    """The kinds and twosomes of that name, or all; ends the program for a name that is none."""
    if not only:
        return list(KINDS.values()), list(TWOSOMES.values())
    names = only.split(",")
    for name in names:
        if name not in KINDS and name not in TWOSOMES:
            sys.exit(f"There is no kind {name!r}; --list shows them.")
    return (
        [kind for kind in KINDS.values() if kind.name in names],
        [two for two in TWOSOMES.values() if two.name in names],
    )


def _list() -> None:
    for name, what in [(one.name, one.what) for one in KINDS.values()] + [
        (two.name, two.what) for two in TWOSOMES.values()
    ]:
        print(f"{name:<14} {what}")


def _run(given: argparse.Namespace, kinds: list[Kind], twosomes: list[Twosome]) -> bool:
    begun = time.monotonic()
    results: dict[str, Any] = {}
    with internet(given.delay) as made, Lab(made, kinds, twosomes) as lab:
        right = _probe(lab, results) and _work(given, lab, kinds, twosomes, results)
        results["took_s"] = round(time.monotonic() - begun, 1)
        print(f"Took {results['took_s']} s.")
        if given.json:
            given.json.write_text(json.dumps(results, indent=1))
        if given.logs:
            lab.save_logs(given.logs)
        if given.keep:
            _keep(lab)
    return right


def _probe(lab: Lab, results: dict[str, Any]) -> bool:
    """Ask the routers what they do; whether they all do what they are named for."""
    findings = lab.check_routers()
    results["probe"] = [_finding(one) for one in findings]
    print(report.findings_table(findings))
    if all(finding.right for finding in findings):
        return True
    print("The routers do not behave as they are named, so the lab says nothing.")
    return False


def _work(
    given: argparse.Namespace,
    lab: Lab,
    kinds: list[Kind],
    twosomes: list[Twosome],
    results: dict[str, Any],
) -> bool:
    """What is asked for, after the probe; whether it went as it must."""
    if given.probe:
        return _check_lifetimes(lab.begin_lifetimes(), results)
    if given.measure:
        _start(given, lab, results)
        pairs = measure.punching_pairs(kinds)
        results["punching"], right = measure.punching(lab, pairs, given.delay)
        print(json.dumps(results["punching"], indent=1))
        return right
    if given.changes:
        _start(given, lab, results)
        results["changes"], right = changes.run(lab, changes.chosen(given.only))
        return right
    if given.goodput:
        line = _line(given)
        _start(given, lab, results, line.settings)
        results["goodput"], right = goodput.run(lab, line, kinds)
        return right
    lifetimes = None if given.only or given.by_hand else lab.begin_lifetimes()
    _start(given, lab, results)
    if given.by_hand:
        return True
    outcomes = _call_all(lab, kinds, twosomes)
    results["summary"] = report.summary(outcomes)
    results["pairs"] = [report.outcome_json(one) for one in outcomes]
    right = not faults_of(outcomes)
    if lifetimes is not None:
        right = _check_lifetimes(lifetimes, results) and right
    if given.idle:
        right = _idle(given.idle, lab, outcomes, results) and right
    return right


def _line(given: argparse.Namespace) -> goodput.Line:
    rate = None if given.relay_rate is None else round(given.relay_rate * 1e6)
    return goodput.Line(round(given.line * 1e6), rate, 2 * given.delay)


def _start(
    given: argparse.Namespace, lab: Lab, results: dict[str, Any], settings: str = ""
) -> None:
    if given.pcap:
        lab.capture(given.pcap)
    lab.start_nodes(
        unreachable=given.unreachable, verbose=given.logs is not None, settings=settings
    )
    results["joined_ms"] = lab.joined_ms
    _say_joined(lab.joined_ms)


def _check_lifetimes(lifetimes: "Future[list[Finding]]", results: dict[str, Any]) -> bool:
    late = lifetimes.result()
    print(report.findings_table(late))
    results["probe"] += [_finding(one) for one in late]
    return all(one.right for one in late)


def _idle(seconds: float, lab: Lab, outcomes: list[Outcome], results: dict[str, Any]) -> bool:
    found = measure.idle(lab, outcomes, seconds)
    results["idle"] = [one.json() for one in found]
    lived = sum(one.lived for one in found)
    print(f"\nIdle for {seconds:.0f} s: {lived} of {len(found)} links lived.")
    for one in found:
        if not one.lived:
            print(f"  {one.caller} -> {one.callee} ({one.way.value}): {one.what}")
    return lived == len(found)


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "site": finding.site,
        "family": finding.family,
        "expected": finding.expected,
        "found": finding.found,
    }


def _say_joined(joined_ms: dict[str, float | None]) -> None:
    late = [name for name, took in joined_ms.items() if took is None]
    but = f", but not {', '.join(late)}" if late else ""
    print(f"\n{len(joined_ms) - len(late)} nodes joined the overlay{but}.")


def _call_all(lab: Lab, kinds: list[Kind], twosomes: list[Twosome]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for pairs in rounds(kinds, twosomes):
        outcomes += lab.call(pairs)
    print("\n" + report.matrix_table(outcomes))
    faults = report.faults(outcomes)
    if faults:
        print("\n" + faults)
    print("\n" + json.dumps(report.summary(outcomes)))
    return outcomes


def _keep(lab: Lab) -> None:
    print("\nThe lab stands until Ctrl-C. Its namespaces and homes:")
    for name, node in lab.nodes.items():
        print(f"  {name:<14} ip netns exec {node.host.space.name} ...   {node.process.home}")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def _end_in_order() -> None:
    """Let SIGTERM end the program as Ctrl-C does, so that everything is removed."""

    def end(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


if __name__ == "__main__":
    try:
        with streams.harmless():
            main()
    except KeyboardInterrupt:
        os._exit(130)
