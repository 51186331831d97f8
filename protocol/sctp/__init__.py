"""An SCTP association for WebRTC data channels, without sockets, tasks or a clock.

Bytes and `now` come in, datagrams, timers and events go out: see `association.Association`.
Spoken on the wire: RFC 9260, its extensions RFC 3758 and RFC 6525, and the data channels of
RFC 8831 and RFC 8832. One association has one path, the DTLS connection beneath it, so there is
no multihoming.

    association                 the public face
    ├── inbound  outbound       datagrams taken apart, each chunk to the part it is for; and made
    ├── handshake   cookie      INIT to COOKIE ACK; the state cookie
    ├── teardown    liveness    the end; heartbeats and path probes
    ├── channels    datachannel data channels on streams: labels, opening, closing
    ├── reset                   streams start again at zero (RFC 6525)
    ├── sender   repeats        when to send, what to send again
    │   ├── outqueue fragments  messages waiting, and cut into chunks
    │   ├── flight  scoreboard  every TSN on its way, and which of them are lost
    │   ├── partial             messages that may be given up (RFC 3758)
    │   └── pathmodel  pacing   how much and how fast (`congestion` says what is replaceable)
    └── receiver    reassembly  which TSNs are here, and the messages they make
    packets chunks serial status timers core: the bytes, and what all parts share
    pieces                      chunks that are too large for the path
    packetsize                  the largest packet that the path carries
    pcap                        packets in a file, for Wireshark
"""
