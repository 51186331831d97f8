"""The node's UDP ports: opened, filtered, read and written in bursts, and told apart.

endpoint    the sockets that the node's parts share
demux       which part of the node a datagram belongs to
nat_filter  the emulation of a NAT around a port, for nodes that play an unreachable one
udp/        the ports themselves
"""
