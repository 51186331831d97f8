"""Every quantity of an association that a peer or a path drives, with its bound and its reason."""

# Packets ------------------------------------------------------------------------------------

PACKET_BYTES_DEFAULT = 1188
"""SCTP packet within a DTLS record within the smallest IPv6 packet (1280 - 48 - 37), cut to a
multiple of four."""

PACKET_BYTES_MIN = 512
PACKET_BYTES_MAX = 16_308
"""Settings outside this range are refused: below, the headers outweigh the data; above, a packet is
too large for a DTLS record (2**14 bytes), or fewer than four fill a buffer that the kernel cuts."""

CONTROL_QUEUE = 64
"""Control datagrams waiting to be sent. A peer that asks faster than we may answer gets no
answer: it asks again, and so do we."""

CHUNKS_PER_PACKET = 512
"""Chunks read from one datagram: a full one of DATA chunks with four bytes each has fewer."""

CONTROL_PER_PACKET = 16
"""Chunks other than DATA in one packet; a SACK, a heartbeat and a reset may share one. A packet
with more is refused as a whole."""

WORK_RATE = 4096
WORK_BURST = 16_384
"""Work that a peer may cause beyond what it earns, a second and at once, in chunks read: 5 us each,
so 2 % of a core. Control chunks, duplicates, tiny messages and packets that tell nothing new are
such work. What a peer of good will sends earns more than it costs; one that is beyond loses the
association."""

WORK_EARNED_BYTES = 512
"""New data of so many bytes, or so many of ours acknowledged, pay for a chunk. A packet of data has
twice as many and more."""

WORK_OF_CONTROL = 4
WORK_OF_RESET = 16
WORK_OF_HANDSHAKE = 64
"""What a control chunk and a message of DCEP are charged; a reset of streams or a FORWARD TSN; and
an INIT or COOKIE ECHO, which take cryptography."""

WORK_OF_REFUSAL = 512
"""What a packet is charged that was sealed for us and has not the form of one: after 32 the
association ends."""

PARAMETERS_PER_CHUNK = 64
"""Parameters read from one chunk; the RFCs together define fewer than thirty."""

# Streams ------------------------------------------------------------------------------------

STREAMS_MAX = 65535
"""What RFC 8831, 6.2 asks to offer; a stream costs nothing before its first message, and some 70 to
350 bytes from then on. A link takes one, and what comes on others is not kept."""

CHANNELS_MAX = 4096
"""Open data channels of one association; further ones of the peer are reset at once."""

LABEL_BYTES_MAX = 1024
"""Label and protocol of a data channel, each. RFC 8832 allows 65535, which has no use."""

RESET_STREAMS_PER_REQUEST = 128
"""Streams in one reset request: 256 bytes, which fits every packet."""

# Receiving ----------------------------------------------------------------------------------

RECEIVE_WINDOW_BYTES = 16 * 2**20
"""Held for the peer at most: twice the bytes of 120 MB/s over 50 ms, so that one round of
retransmission does not stop the flow."""

RECEIVE_WINDOWS_BYTES = 64 * 2**20
"""The windows of all links of a node together, as each peer may leave a hole and fill its own for
good: where more than four stand, each has a half, a quarter and so on. 64 links have 1 MiB each,
20 MB/s over 50 ms, and what 256 hold at worst is 320 MiB: four have filled their windows before
four more come, and so on."""

RECEIVE_WINDOW_SLACK = 4
"""One part in so many is taken beyond the window: the peer counts no MESSAGE_OVERHEAD_BYTES."""

TSN_AHEAD = 65535
"""A gap block's offsets have 16 bits (RFC 9260, 3.3.4): TSNs further ahead cannot be reported."""

GAPS_MAX = 4096
"""Islands of TSNs behind a hole; a packet that would open one more is dropped and comes again."""

GAP_BLOCKS_PER_SACK = 240
"""Reported at once, lowest first: 960 bytes, so that any packet holds them."""

DUPLICATES_PER_SACK = 16
"""Duplicate TSNs reported at once; they only tune the sender."""

PIECES_PER_CHUNK = 64
"""Pieces of one DATA chunk: the largest packet has 34 in the smallest."""

PIECES_BYTES = 64 * 2**10
"""Held of chunks that have come in part, beyond the window: those of one chunk leave together, so
few are on their way at a time. What is dropped comes again."""

MESSAGE_OVERHEAD_BYTES = 128
"""Charged on top of each held message or fragment: Python objects cost this, and a peer that sends
single bytes must not hold a hundred times its window."""

PEER_WINDOW_BYTES_MIN = 1500
"""A peer that offers less has not even room for one packet; it is refused (RFC 9260, 3.3.2)."""

# Sending ------------------------------------------------------------------------------------

SEND_BUFFER_BYTES = 8 * 2**20
"""Queued by the application at most; `writable` turns false at a quarter of it."""

SEND_QUEUE_BYTES = 4 * 2**20
SEND_QUEUES_BYTES = 64 * 2**20
"""Queued on one fast link, and on all links of a node together, before the application waits: 20 ms
at 1.6 Gbit/s. What is under way when it begins to wait comes on top, for one link a chunk at most.
"""

OUTSTANDING_MAX = 32000
"""TSNs in flight: each may be a message of one stream, and numbers of 16 bits are only in order
while they are less than 32768 apart."""

DATAGRAMS_PER_CALL = 64
"""Built by one call, so that the caller can look at its socket in between; a message of 64 KiB."""

# Times --------------------------------------------------------------------------------------

COOKIE_LIFETIME_S = 60.0
"""Valid.Cookie.Life (RFC 9260, 16)."""

RTO_INITIAL_S = 1.0
RTO_MIN_OWN_S = 0.2
RTO_MIN_FOREIGN_S = 0.4
"""A foreign peer may delay its SACK by 200 ms (RFC 9260, 6.2)."""
RTO_MAX_S = 10.0
"""Shorter than the RFC's 60 s: DTLS and ICE have given up by then."""

RETRANSMITS_MAX = 10
"""Timeouts in a row after which the peer counts as gone (Association.Max.Retrans)."""

INIT_RETRANSMITS_MAX = 8
"""Attempts at a handshake step (Max.Init.Retransmits)."""

SACK_DELAY_S = 0.025
"""A packet waits so long for a second one, or for one that asks for a SACK. The RFC allows 200 ms;
less distorts measured round trips less."""

SACKS_A_ROUND_TRIP = 4
SACK_PATIENCE = 1.5
SACK_DELAY_MIN_S = 0.002
"""Between our own a sender asks for a SACK so often at least: with fewer the window must hold more.
A packet that does not ask waits this many of its intervals, within SACK_DELAY_MIN_S and
SACK_DELAY_S, so that one that asks mostly comes before."""

FLOWS_ROUND_TRIPS = 4
FLOWS_S_MIN = 0.05
"""Data that have flowed for so long without a pause are no answer that a request waits for: they
may leave and be read in larger bursts."""

HEARTBEAT_S = 30.0
"""Idle time before a heartbeat (HB.interval)."""

SHUTDOWN_GUARD_S = 60.0
"""A graceful shutdown that takes longer becomes an abort (T5-shutdown-guard, 5 x RTO.Max)."""

PROBES_PENDING = 8
"""Path probes in flight; older ones are forgotten."""
