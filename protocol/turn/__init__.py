"""TURN over UDP (RFC 8656): the relay and its client, as state machines without any I/O.

virtual       the addresses that stand for allocations of peers, and channel numbers
grant         credentials as the DHT hands them out, with the relay's terms
credentials   how a relay makes and checks credentials and nonces without keeping any
channel_data  ChannelData messages, one and many at once
policy        which peer addresses a relay sends to
terms         what a relay allows, and how it keeps count
allocation    one allocation at the relay: its permissions and channels
table         all allocations of a relay, and the room for more
forwarding    from one allocation to the other of its pair
answers       answers to addresses that have proved nothing, and to others
server        the relay
request       a request of the client until its response
events        what a client tells its user
client_peers  the peers of a client, and its channels
client        the client of one allocation
"""
