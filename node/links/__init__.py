"""Links: WebRTC data channels to single peers. The only rooms that touch aiortc and aioice.

`pool` is the door: it imports neither of them before the first link, because they cost 33 MB.
"""
