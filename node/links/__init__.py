"""Links: WebRTC data channels to single peers. The only rooms that touch aiortc and aioice.

`pool` imports neither of them before the first link, because they take 33 MB.
"""
