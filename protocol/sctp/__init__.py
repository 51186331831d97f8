"""An SCTP association for WebRTC data channels, without sockets, tasks or a clock.

Bytes and `now` come in, datagrams, timers and events go out: see `association.Association`.
Spoken on the wire: RFC 9260, its extensions RFC 3758 and RFC 6525, and the data channels of
RFC 8831 and RFC 8832. One association has one path, the DTLS connection beneath it, so there is
no multihoming.

    association                 the public face: datagrams, timers, events
    ├── handshake   cookie      who we are talking to; states as a table
    ├── channels    datachannel what streams mean: labels, opening, closing
    ├── reset                   streams start again at zero (RFC 6525)
    ├── sender                  when to send, what to send again
    │   ├── outqueue            messages waiting, one queue per stream
    │   ├── scoreboard          every TSN in flight, and which of them are lost
    │   ├── partial             messages that may be given up (RFC 3758)
    │   └── congestion pacing   how much and how fast
    ├── receiver    reassembly  which TSNs are here, and the messages they make
    └── packets     chunks      the bytes
"""
