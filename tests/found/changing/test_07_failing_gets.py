"""A `get` that cannot succeed fails early, and within two seconds says what goes on."""

from pathlib import Path

import pytest

from protocol.content.link import ModLink
from protocol.errors import ModswarmError
from protocol.identity import peer_id_text
from tests.found.changing.conftest import Getting, crash, shared_mod

SAID_S = 2.0


@pytest.mark.parametrize(
    ("site", "fault", "at_most_s"),
    [
        ("public", "nobody", 1.0),
        ("public", "ended", 2.0),
        ("public", "killed", 2.0),
        ("port-restricted", "killed", 13.0),
        ("port-restricted", "removed", 2.0),
        ("public", "wrong key", 2.0),
    ],
)
async def test_a_get_fails_early_and_says_what_goes_on(
    tmp_path: Path, site: str, fault: str, at_most_s: float
) -> None:
    async with shared_mod(tmp_path, site, site) as (_, (getter, holder), link):
        if fault == "nobody":
            link = ModLink(bytes(range(32)), bytes(32))
        elif fault == "ended":
            await holder.stop()
        elif fault == "killed":
            await crash(holder)
        elif fault == "removed":
            with holder.host.running():
                await holder.running_node.sharing.remove(link.mod_id)
        else:
            link = ModLink(link.mod_id, bytes(32))
        getting = Getting(getter, link, tmp_path / "got")
        with pytest.raises(ModswarmError):
            await getting.task
        assert getting.seconds <= at_most_s
        said = [told for at, told in getting.told if at <= SAID_S]
        assert said
        assert said[0].stage == "finding"
        if fault != "nobody":
            assert any(told.holders == 1 for told in said)
            name = peer_id_text(holder.identity.peer_id)
            assert any(told.linking_with == name for told in said)
