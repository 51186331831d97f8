"""TCP connections of simulated hosts: reliable, in order, as fast as their congestion window lets.

flow        one direction: segments by the same lines as datagrams, repeated where they are lost
route       the lines and distances between two hosts, and what boxes on the way say of TCP
transport   a connection as asyncio shows it
sockets     connects and listens
"""
