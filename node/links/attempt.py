"""One attempt at a link, step by step, on either side: ICE, DTLS, SCTP, session."""

import asyncio
from dataclasses import replace
from importlib import import_module
from typing import Protocol

from node.environment import Environment
from node.links.channel.channel import Channel
from node.links.failure import AttemptReport, LinkAttemptFailed
from node.links.link import Link, LinkOrigin
from node.links.path.ice import IcePath
from node.links.secure.certificate import Certificate
from node.links.secure.dtls import DtlsPath
from node.links.settings import DATA_PATHS, OWN_DATA_PATH, LinkSettings
from node.links.stages import Stage, StageClock
from protocol.causes.cause import Cause
from protocol.causes.failed_checks import cause_of_failed_checks, side_of
from protocol.causes.tried import KnownSide
from protocol.description import Description, DtlsRole
from protocol.errors import LinkClosed, Malformed, NotAuthentic, RemoteError
from protocol.identity import Identity, PeerId
from protocol.noise_session import EPHEMERAL_BYTES, NoiseHandshake, Party, prologue

_OTHER_ROLE = {DtlsRole.ACTIVE: DtlsRole.PASSIVE, DtlsRole.PASSIVE: DtlsRole.ACTIVE}


class _Layer(Protocol):
    """A layer that an attempt has built: closing the uppermost closes all."""

    async def close(self) -> None: ...


class LinkAttempt:
    """The layers of a link while it is being made. Ends as a link, or leaves nothing behind."""

    def __init__(
        self,
        identity: Identity,
        environment: Environment,
        certificate: Certificate,
        settings: LinkSettings,
    ) -> None:
        self._identity = identity
        self._environment = environment
        self._certificate = certificate
        self._settings = settings
        self._data_path = import_module(DATA_PATHS[settings.data_path])
        self._loop = asyncio.get_running_loop()
        self._asked_at = self._loop.time()
        self._stages = StageClock()
        self._ice = IcePath(environment, settings)
        self._uppermost: _Layer = self._ice

    async def describe(self, role: DtlsRole, *, outgoing: bool) -> Description:
        """Open our sockets and describe them; the caller controls. Raises LinkAttemptFailed."""
        await self._ice.gather(controlling=outgoing)
        if outgoing:
            self._begin(Stage.CALL)
        bursts = self._settings.data_path == OWN_DATA_PATH
        described = self._ice.describe(self._certificate.fingerprint, role, takes_bursts=bursts)
        return replace(described, sctp_init=self._data_path.describe_init(self._environment.rng))

    async def finish(
        self,
        *,
        peer_key: bytes,
        offer_id: bytes,
        offer: Description,
        answer: Description,
        signaled_via: tuple[PeerId, ...],
        outgoing: bool,
    ) -> Link:
        """The open link; raises LinkAttemptFailed. `offer` is the caller's, `answer` the callee's.

        Both sides agree on these and on `offer_id`, or the session's handshake fails.
        """
        limit_s = self._settings.connect_timeout_s
        sides = (offer, answer) if outgoing else (answer, offer)
        try:
            async with asyncio.timeout(limit_s):
                return await self._finish(peer_key, offer_id, offer, answer, signaled_via, outgoing)
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

    async def abandon(self) -> None:
        """Close whatever is open. Not for an attempt that became a link; otherwise as a close."""
        await self._uppermost.close()

    async def _finish(
        self,
        peer_key: bytes,
        offer_id: bytes,
        offer: Description,
        answer: Description,
        signaled_via: tuple[PeerId, ...],
        outgoing: bool,
    ) -> Link:
        own, remote = (offer, answer) if outgoing else (answer, offer)
        answering_role = _chosen_role(answer)
        self._begin(Stage.ICE)
        await self._ice.connect(remote)
        self._begin(Stage.DTLS)
        own_role = _OTHER_ROLE[answering_role] if outgoing else answering_role
        dtls = DtlsPath(self._ice, self._certificate)
        self._uppermost = dtls
        await dtls.secure(remote.fingerprint, own_role)
        self._begin(Stage.SCTP)
        channel: Channel = self._data_path.create_channel(
            dtls,
            self._environment.rng,
            own_peer=remote.takes_bursts,
            inits=(own.sctp_init, remote.sctp_init),
        )
        handshake = self._handshake(peer_key, offer_id, offer, answer, outgoing)
        origin = self._origin(
            peer_key, signaled_via, outgoing, own=side_of(own), peer=side_of(remote)
        )
        link = Link(channel, handshake, origin)
        self._uppermost = link
        await channel.open()
        self._begin(Stage.SESSION)
        await link.open()
        return link

    def _handshake(
        self,
        peer_key: bytes,
        offer_id: bytes,
        offer: Description,
        answer: Description,
        outgoing: bool,
    ) -> NoiseHandshake:
        caller_key, callee_key = self._identity.public_key, peer_key
        if not outgoing:
            caller_key, callee_key = callee_key, caller_key
        role = _chosen_role(answer)
        caller = Party(caller_key, offer.fingerprint, _OTHER_ROLE[role])
        callee = Party(callee_key, answer.fingerprint, role)
        return NoiseHandshake(
            self._identity,
            peer_key,
            initiator=outgoing,
            prologue=prologue(offer_id, caller, callee),
            ephemeral_secret=self._environment.rng.randbytes(EPHEMERAL_BYTES),
        )

    def _origin(
        self,
        peer_key: bytes,
        signaled_via: tuple[PeerId, ...],
        outgoing: bool,
        *,
        own: KnownSide,
        peer: KnownSide,
    ) -> LinkOrigin:
        return LinkOrigin(
            peer_key,
            "outgoing" if outgoing else "incoming",
            self._ice.found_path,
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
        stage, pairs = self._stages.current, self._ice.tried()
        sides = side_of(own), side_of(peer)
        if cause is None:
            cause = cause_of_failed_checks(*sides, pairs) if stage is Stage.ICE else self._broken()
        report = AttemptReport(self._stages.milliseconds(self._loop.time()), *sides, pairs)
        return LinkAttemptFailed(stage, reason, cause=cause, report=report)

    def _broken(self) -> Cause:
        """Why nothing came of a path that ICE had found."""
        return Cause.PATH_LOST if self._ice.peer_vanished else Cause.PEER_STALLED


def _chosen_role(answer: Description) -> DtlsRole:
    """The callee's DTLS role; raises Malformed if its answer leaves it open."""
    if answer.role == DtlsRole.ACTPASS:
        raise Malformed("the answer leaves the DTLS role open")
    return DtlsRole(answer.role)
