"""Every reader of bytes from outside, by the name of what it reads."""

from simulations.fuzzing.call_forms import CALL_FORMS
from simulations.fuzzing.content_forms import CONTENT_FORMS
from simulations.fuzzing.overlay_forms import OVERLAY_FORMS
from simulations.fuzzing.relay_forms import RELAY_FORMS
from simulations.fuzzing.sctp_forms import SCTP_FORMS
from simulations.fuzzing.target import Target

DECODERS: dict[str, Target] = {
    **OVERLAY_FORMS,
    **CALL_FORMS,
    **RELAY_FORMS,
    **SCTP_FORMS,
    **CONTENT_FORMS,
}


def feed(name: str, data: bytes) -> object:
    """Let a reader read; returns what it read or the error that it may raise. Others pass on."""
    target = DECODERS[name]
    try:
        return target.read(data)
    except target.fault as error:
        return error
