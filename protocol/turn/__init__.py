"""TURN over UDP (RFC 8656): the relay and its client, as state machines without any I/O.

virtual       the addresses that stand for allocations of peers, and channel numbers
grant         credentials as the DHT hands them out, with the relay's terms
credentials   how a relay makes and checks credentials and nonces without keeping any
channel_data  ChannelData messages, one and many at once
policy        which peer addresses a relay sends to
terms         what a relay allows, and how it keeps count
allocation    one allocation at the relay: its permissions and channels
server        the relay
binding       the client's transactions, repeated and answered
client        the client of one allocation
"""
