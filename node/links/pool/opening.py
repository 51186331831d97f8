"""From a call to an open link, in either direction, by an attempt that leaves nothing behind."""

import asyncio
import logging
from collections.abc import Sequence

from node.links.attempt import LinkAttempt, LinkParts
from node.links.failure import LinkAttemptFailed
from node.links.link import Link
from node.links.pool.keeper import LinkKeeper
from node.links.pool.pending import PendingAnswer, PendingConnect, PlaceCall
from node.links.stages import Stage
from protocol import limits
from protocol.causes.cause import Cause
from protocol.description import Description, DtlsRole
from protocol.errors import CalleeBusy
from protocol.identity import PeerId, peer_id_of, peer_id_text
from protocol.overlay.contacts import Contact
from protocol.signaling import CallResult, Describe

_log = logging.getLogger(__name__)

_JITTER = 0.5
_JITTER_S_MAX = 5.0


class LinkOpener:
    """Makes attempts; `keeper` disposes of those that fail."""

    def __init__(self, parts: LinkParts, place_call: PlaceCall, keeper: LinkKeeper) -> None:
        self._parts = parts
        self._place_call = place_call
        self._keeper = keeper

    async def outgoing(self, call: PendingConnect) -> Link:
        """The link that comes of a call of ours; raises what `LinkPool.connect` does.

        A peer that has no place for it now is asked again when it says, and a bit later, so that
        all whom it told the same do not come at once.
        """
        loop = asyncio.get_running_loop()
        patient_until = loop.time() + self._parts.settings.busy_patience_s
        while True:
            try:
                return await self._call(call)
            except CalleeBusy as error:
                spread_s = min(error.retry_after_s * _JITTER, _JITTER_S_MAX)
                wait_s = error.retry_after_s + spread_s * self._parts.environment.rng.random()
                if loop.time() + wait_s > patient_until:
                    raise
                _log.info("%s is busy, called again in %.1f s", peer_id_text(call.peer_id), wait_s)
                await asyncio.sleep(wait_s)

    async def _call(self, call: PendingConnect) -> Link:
        attempt = LinkAttempt(self._parts, call.peer_id, outgoing=True)
        try:
            offer = attempt.describe(DtlsRole.ACTPASS)
            await self._parts.punching.sample()

            def describe(registrars: Sequence[Contact]) -> Description:
                nonlocal offer
                call.check_uncrossed()
                offer = attempt.offer(offer, registrars)
                return offer

            result = await self._call_out(call.peer_id, describe)
            call.note_answer()
            return await attempt.finish(
                peer_key=result.peer_key,
                offer_id=result.offer_id,
                offer=offer,
                answer=result.description,
                signaled_via=result.signaled_via,
            )
        except BaseException:
            self._abandon(attempt, call.peer_id)
            raise

    async def _call_out(self, peer_id: PeerId, describe: Describe) -> CallResult:
        limit_s = self._parts.paths.line.limit_s(
            self._parts.settings.call_timeout_s, limits.LOOKUP_ROUND_TRIPS
        )
        try:
            async with asyncio.timeout(limit_s):
                result = await self._place_call(peer_id, describe)
        except TimeoutError:
            reason = f"no answer within {limit_s:g} s"
            raise LinkAttemptFailed(Stage.CALL, reason, cause=Cause.REGISTRARS_SILENT) from None
        if peer_id_of(result.peer_key) != peer_id:
            reason = "the answer came from another peer"
            raise LinkAttemptFailed(Stage.CALL, reason, cause=Cause.NOT_THE_PEER)
        return result

    async def incoming(self, call: PendingAnswer, *, alone: bool) -> Link:
        """The link that comes of a peer's call, which gets its answer on the way.

        `alone`: no call of ours crosses it. Raises LinkFailed, Overloaded.
        """
        attempt = LinkAttempt(
            self._parts, call.peer_id, outgoing=False, alone=alone, of_page=call.of_page
        )
        call.begin(attempt.proved_network)
        try:
            await self._parts.punching.sample()
            answer = attempt.answer(call.offer)
            if not call.answer.done():
                call.answer.set_result(answer)
            return await attempt.finish(
                peer_key=call.offer.caller_key,
                offer_id=call.offer.offer_id,
                offer=call.offer.description,
                answer=answer,
                signaled_via=(),
                answer_takes_s=call.offer.answer_takes_s,
            )
        except BaseException:
            self._abandon(attempt, call.peer_id)
            raise

    def _abandon(self, attempt: LinkAttempt, peer_id: PeerId) -> None:
        """Free what an attempt holds, in a task that outlives the attempt's own."""
        self._keeper.dispose(attempt.abandon(), f"attempt {peer_id_text(peer_id)}")
