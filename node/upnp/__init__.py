"""The home router, as UPnP shows it: it may forward a port to this machine.

router     what the node asks, and how the real router is found
process    the child process that talks to it, with its bounds
child      what runs in that process: miniupnpc, which blocks and bounds nothing
"""
