"""One attempt at a link, step by step, on either side: ICE, DTLS, SCTP, session."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from node.environment import Environment
from node.links.channel import native_channel
from node.links.failure import AttemptReport, LinkAttemptFailed
from node.links.layers import LayersLoader
from node.links.link import Link, LinkOrigin
from node.links.path.ice import IcePath
from node.links.path.paths import LinkPaths
from node.links.punching.call import PunchCall
from node.links.punching.punching import LinkPunching
from node.links.punching.run import PunchRun
from node.links.relaying.doubts import DIRECT
from node.links.restarting.parts import RestartableLink
from node.links.restarting.restarts import LinkRestarts
from node.links.secure.certificate import Certificate
from node.links.settings import FEATURES, OWN_DATA_PATH, LinkSettings
from node.links.stages import Stage, StageClock
from protocol import limits
from protocol.causes.cause import Cause
from protocol.causes.failed_checks import cause_of_failed_checks, side_of
from protocol.causes.tried import KnownSide, TriedPair
from protocol.description import Description, DtlsRole, answering_role
from protocol.errors import LinkClosed, Malformed, NotAuthentic, RemoteError
from protocol.identity import Identity, PeerId, peer_id_of
from protocol.noise_session import (
    EPHEMERAL_BYTES,
    CalleeHandshake,
    CallerHandshake,
    NoiseHandshake,
    Party,
    ephemeral_key,
    prologue,
)
from protocol.overlay.contacts import Contact
from protocol.places.tenure import RELAYED, network_of
from protocol.signaling import Offer, own_offer_wins
from protocol.turn.virtual import is_virtual

_OTHER_ROLE = {DtlsRole.ACTIVE: DtlsRole.PASSIVE, DtlsRole.PASSIVE: DtlsRole.ACTIVE}


class _Layer(Protocol):
    """A layer that an attempt has built: closing the uppermost closes all."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkParts:
    """What all links of a node are made of."""

    identity: Identity
    environment: Environment
    certificate: Certificate
    settings: LinkSettings
    paths: LinkPaths
    punching: LinkPunching
    restarts: LinkRestarts
    layers: LayersLoader


class LinkAttempt:
    """The layers of a link while it is being made. Ends as a link, or leaves nothing behind.

    `alone`: no call of the other side crosses this one. `of_page`: the peer is a web page, which
    knows no relays by pairs and takes no calls, so its link has one path and no restart. Raises
    Overloaded when it is made while there are too many.
    """

    def __init__(
        self,
        parts: LinkParts,
        peer_id: PeerId,
        *,
        outgoing: bool,
        alone: bool = False,
        of_page: bool = False,
    ) -> None:
        self._parts = parts
        self._peer_id = peer_id
        self._outgoing = outgoing
        self._of_page = of_page
        self._loop = asyncio.get_running_loop()
        self._asked_at = self._loop.time()
        self._offered_at: float | None = None
        self._stages = StageClock()
        self._ephemeral_secret = parts.environment.rng.randbytes(EPHEMERAL_BYTES)
        self._answering: CalleeHandshake | None = None
        own_id = parts.identity.peer_id
        caller, callee = (own_id, peer_id) if outgoing else (peer_id, own_id)
        # Of two calls that cross, both sides let the same one go on.
        rank = int(own_offer_wins(caller, callee))
        self._avoids_direct = not of_page and parts.paths.relays.avoid_direct(peer_id)
        self._relayed_only = self._avoids_direct or parts.settings.relayed_only
        self._ice = IcePath(
            parts.paths,
            peer_id,
            controlling=outgoing,
            rank=rank,
            alone=alone,
            relayed_only=self._relayed_only,
        )
        self._uppermost: _Layer = self._ice
        parts.layers.begin()

    def describe(self, role: DtlsRole) -> Description:
        """Our side, at once; the caller controls. Raises LinkAttemptFailed."""
        own_sctp = self._parts.settings.data_path == OWN_DATA_PATH
        fingerprint = self._parts.certificate.fingerprint
        described = self._ice.describe(fingerprint, role)
        if self._outgoing:
            self._begin(Stage.CALL)
        init = native_channel.describe_init(self._parts.environment.rng) if own_sctp else b""
        return self._with_router(
            replace(
                described,
                features=FEATURES[self._parts.settings.data_path],
                sctp_init=init,
                session=ephemeral_key(self._ephemeral_secret),
            )
        )

    def answer(self, offer: Offer) -> Description:
        """Our side, for the caller of this offer; raises LinkAttemptFailed, NotAuthentic."""
        described = self.describe(answering_role(offer.description.role))
        if not self._of_page:
            relays = self._parts.paths.relays.to_answer(self._peer_id, offer.description.relays)
            described = replace(described, relays=relays)
        self._answering = CalleeHandshake(
            self._parts.identity,
            offer.caller_key,
            prologue=self._prologue(offer.caller_key, offer.offer_id, offer.description, described),
            ephemeral_secret=self._ephemeral_secret,
            offered=offer.description.session,
        )
        return replace(described, session=self._answering.answer)

    def offer(self, described: Description, registrars: Sequence[Contact]) -> Description:
        """What `describe` gave, with what has changed until the offer is made, and relays.

        `registrars` are the peer's.
        """
        relays = self._parts.paths.relays.to_name(self._peer_id, registrars)
        offer = replace(self._with_router(described), relays=relays)
        self._ice.relays.offered(offer)
        self._offered_at = self._loop.time()
        return offer

    def _with_router(self, description: Description) -> Description:
        """What peers must know of our router to punch it; nothing, if they do not see it."""
        if self._parts.settings.relayed_only:
            return description
        punching = self._parts.punching
        return punching.described(description, avoids_direct=self._avoids_direct)

    async def finish(
        self,
        *,
        peer_key: bytes,
        offer_id: bytes,
        offer: Description,
        answer: Description,
        signaled_via: tuple[PeerId, ...],
        answer_takes_s: float = 0.0,
    ) -> Link:
        """The open link; raises LinkAttemptFailed. `offer` is the caller's, `answer` the callee's.

        Both sides agree on these and on `offer_id`, or the session's handshake fails.
        `answer_takes_s`: how long our answer travels to the caller.
        """
        limit_s = self._parts.paths.line.limit_s(
            self._parts.settings.connect_timeout_s, limits.LINK_ROUND_TRIPS
        )
        sides = (offer, answer) if self._outgoing else (answer, offer)
        own_id, peer_id = self._parts.identity.peer_id, peer_id_of(peer_key)
        call = PunchCall(*sides, own_id, peer_id, offer_id, self._outgoing, answer_takes_s)
        punch = None
        if not self._relayed_only:
            punch = PunchRun(self._parts.punching, call, self._ice.agent, self._ice.flush)
        try:
            async with asyncio.timeout(limit_s):
                _ = _chosen_role(answer)
                self._ice.relays.begin(offer, *sides)
                await self._find_path(sides[1], punch, self._call_s(answer_takes_s))
                return await self._finish(peer_key, offer_id, offer, answer, signaled_via)
        except TimeoutError:
            reason = f"nothing came of it within {limit_s:g} s"
            raise self._failed(reason, None, *sides) from None
        except LinkAttemptFailed as error:
            raise self._failed(error.reason, error.cause, *sides) from error
        except NotAuthentic as error:
            raise self._failed(str(error), Cause.NOT_THE_PEER, *sides) from error
        except RemoteError as error:
            raise self._failed(str(error), Cause.PROTOCOL_BROKEN, *sides) from error
        except LinkClosed as error:
            raise self._failed(str(error), None, *sides) from error

    def proved_network(self) -> bytes | None:
        """The network in which the peer has answered a check of ours, if it has, or RELAYED."""
        selected = self._ice.agent.selected
        if selected is None:
            return None
        address = selected.remote.address
        return RELAYED if is_virtual(address) else network_of(address.host)

    async def abandon(self) -> None:
        """Close whatever is open. Not for an attempt that became a link; otherwise as a close."""
        await self._uppermost.close()

    def _call_s(self, answer_takes_s: float) -> float | None:
        """How long offer and answer took, by the registrar: hardly less than a round trip."""
        if self._offered_at is not None:
            return self._loop.time() - self._offered_at
        return 2 * answer_takes_s or None

    async def _find_path(
        self, remote: Description, punch: PunchRun | None, call_s: float | None
    ) -> None:
        self._begin(Stage.ICE)
        await self._ice.connect(remote, punch, call_s)

    async def _finish(
        self,
        peer_key: bytes,
        offer_id: bytes,
        offer: Description,
        answer: Description,
        signaled_via: tuple[PeerId, ...],
    ) -> Link:
        own, remote = (offer, answer) if self._outgoing else (answer, offer)
        answering_role = _chosen_role(answer)
        self._begin(Stage.DTLS)
        layers = await self._parts.layers.loaded()
        own_role = _OTHER_ROLE[answering_role] if self._outgoing else answering_role
        dtls = layers.secure(self._ice, self._parts.certificate)
        self._uppermost = dtls
        await dtls.secure(remote.fingerprint, own_role)
        self._begin(Stage.SCTP)
        channel = layers.create_channel(
            dtls,
            self._parts.environment.rng,
            own_peer=remote.asks_for_sacks,
            inits=(own.sctp_init, remote.sctp_init),
            round_trip_s=self._ice.round_trip_s,
        )
        handshake = self._handshake(peer_key, offer_id, offer, answer)
        origin = self._origin(peer_key, signaled_via, own=side_of(own), peer=side_of(remote))
        link = Link(channel, handshake, origin)
        self._uppermost = link
        await channel.open()
        self._begin(Stage.SESSION)
        await link.open()
        self._ice.link_opened(link.path_changed)
        if not self._of_page:
            restartable = RestartableLink(offer_id, link, own, remote, self._ice)
            self._parts.restarts.add(restartable, link.closed)
        return link

    def _handshake(
        self, peer_key: bytes, offer_id: bytes, offer: Description, answer: Description
    ) -> NoiseHandshake:
        """The session's; that of the callee was begun with the answer."""
        return self._answering or CallerHandshake(
            self._parts.identity,
            peer_key,
            prologue=self._prologue(peer_key, offer_id, offer, answer),
            ephemeral_secret=self._ephemeral_secret,
            answered=answer.session,
        )

    def _prologue(
        self, peer_key: bytes, offer_id: bytes, offer: Description, answer: Description
    ) -> bytes:
        caller_key, callee_key = self._parts.identity.public_key, peer_key
        if not self._outgoing:
            caller_key, callee_key = callee_key, caller_key
        role = _chosen_role(answer)
        return prologue(
            offer_id,
            Party(caller_key, offer.fingerprint, _OTHER_ROLE[role]),
            Party(callee_key, answer.fingerprint, role),
        )

    def _origin(
        self,
        peer_key: bytes,
        signaled_via: tuple[PeerId, ...],
        *,
        own: KnownSide,
        peer: KnownSide,
    ) -> LinkOrigin:
        return LinkOrigin(
            peer_key,
            "outgoing" if self._outgoing else "incoming",
            self._ice.found_path,
            self._ice.paths,
            own,
            peer,
            self._asked_at,
            self._stages,
            signaled_via,
        )

    def _begin(self, stage: Stage) -> None:
        self._stages.begin(stage, self._loop.time())

    def _failed(
        self, reason: str, cause: Cause | None, own: Description, peer: Description
    ) -> LinkAttemptFailed:
        if self._avoids_direct:
            self._parts.paths.relays.doubts.forget(DIRECT, self._peer_id)
        stage, pairs = self._stages.current, self._ice.tried()
        sides = side_of(own), side_of(peer)
        cause = cause or self._ice.ended_by
        if cause is None:
            cause = self._no_path(*sides, pairs) if stage is Stage.ICE else Cause.PEER_STALLED
        report = AttemptReport(self._stages.milliseconds(self._loop.time()), *sides, pairs)
        return LinkAttemptFailed(stage, reason, cause=cause, report=report)

    def _no_path(self, own: KnownSide, peer: KnownSide, pairs: tuple[TriedPair, ...]) -> Cause:
        """Why ICE found none."""
        cause = cause_of_failed_checks(own, peer, pairs, relays_failed=self._ice.relays.failed)
        if cause is Cause.NO_ADDRESS and self._parts.settings.relayed_only:
            return Cause.ADDRESS_HIDDEN
        return cause


def _chosen_role(answer: Description) -> DtlsRole:
    """The callee's DTLS role; raises Malformed if its answer leaves it open."""
    if answer.role == DtlsRole.ACTPASS:
        raise Malformed("the answer leaves the DTLS role open")
    return DtlsRole(answer.role)
