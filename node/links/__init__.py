"""Links: WebRTC data channels to single peers. The only rooms that touch aiortc.

It is not imported before the first link, because it takes 33 MB.
"""
