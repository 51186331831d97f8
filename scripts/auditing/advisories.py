"""Versions of everything that touches bytes from the network, against published advisories."""

import json
import sqlite3
import ssl
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

from cryptography.hazmat.backends.openssl import backend
from packaging.requirements import Requirement

from scripts.auditing.page import Section, table
from scripts.auditing.programs import NotRun, last_json, run

_SERVICES = ("pypi", "osv")
_LIMIT_S = 120

TITLE = "Versions and advisories"


def versions() -> Iterator[tuple[str, str]]:
    """Every distribution that modswarm needs, and what they bring compiled."""
    yield "Python", sys.version.split()[0]
    yield "OpenSSL of cryptography: DTLS, AES-GCM", backend.openssl_version_text()
    yield "OpenSSL of Python: hashes", ssl.OPENSSL_VERSION
    yield "SQLite of Python: the vault's index", sqlite3.sqlite_version
    for name in needed("modswarm"):
        yield name, metadata.version(name)


def needed(name: str) -> list[str]:
    """The names of all that a distribution needs without extras, and what these need, sorted."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for text in metadata.requires(waiting.pop()) or ():
            requirement = Requirement(text)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            key = requirement.name.lower().replace("_", "-")
            if wanted and key not in found:
                found.add(key)
                waiting.append(key)
    return sorted(found)


Ask = Callable[[str], Any]
"""Gives what `pip-audit` says as JSON with a service; raises NotRun."""


def ask_pip_audit(service: str) -> Any:
    """The advisories of everything installed here that one service knows."""
    packages = sysconfig.get_path("purelib")
    options = ("--path", packages, "--format", "json", "--progress-spinner", "off")
    command = (sys.executable, "-m", "pip_audit", "--vulnerability-service", service, *options)
    return last_json(run((*command, "--timeout", "10"), _LIMIT_S))


def section(ask: Ask = ask_pip_audit) -> Section:
    """What is installed, and what is known against it."""
    known = list(versions())
    body = table(("what", "version"), known)
    names = {name for name, _ in known}
    reasons = []
    for service in _SERVICES:
        try:
            told = ask(service)["dependencies"]
        except NotRun as reason:
            reasons.append(f"`pip-audit` with {service}: {reason}")
            continue
        looked_at = [one for one in told if "skip_reason" not in one]
        if not looked_at:
            reasons.append(f"`pip-audit` with {service}: it answers for none of the packages here")
            continue
        return Section(TITLE, body, list(_findings(looked_at)), list(_skipped(told, names)))
    return Section(TITLE, body, missing=reasons)


def _findings(told: list[dict[str, Any]]) -> Iterator[str]:
    for one in told:
        for known in one["vulns"]:
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            yield f"{one['name']} {one['version']}: {known['id']}, mended in {fixed}"


def _skipped(told: list[dict[str, Any]], names: set[str]) -> Iterator[str]:
    """Packages that matter and that the service does not know."""
    for one in told:
        if "skip_reason" in one and one["name"] in names:
            yield json.dumps(one["skip_reason"])[1:-1]
