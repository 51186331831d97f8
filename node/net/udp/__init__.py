"""UDP ports: datagrams in bursts, from a socket of the kernel's or from the running loop.

opening      chooses between the two
kernel_port  our own socket: bounded drains, offload, a bounded queue when the kernel is full
loop_port    a datagram transport of the loop: a simulation's, or that of Windows' proactor
offload      what kernels can do for datagrams: GSO, GRO, forbidding fragments
port         the interface of both, and what they ask of their user
"""
