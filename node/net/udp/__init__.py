"""UDP ports: datagrams in bursts, from a socket of the kernel's or from the running loop.

opening      which of the two there is
kernel_port  our own socket: bounded drains, offload, a bounded queue when the kernel is full
loop_port    whatever datagram transport the loop makes: a simulation's, or Windows' proactor's
offload      what kernels can do for datagrams (GSO, GRO, forbidding fragments), if they can
port         what both offer, and what they ask of their user
"""
