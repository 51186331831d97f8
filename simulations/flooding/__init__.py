"""A flood on real sockets and the real clock, over loopback: no simulated processor can be busy.

Each role is a process of its own (`python -m simulations.flooding.ROLE`) that exchanges lines of
JSON with the process that started it, and ends when its standard input does.
"""
