"""A way without UDP: datagrams over TLS streams to public nodes.

connection  the bytes of one connection, before and after TLS
tls         the two sides' contexts, and the certificate that a gateway shows
port        a stream as a port: framed, bounded, watched
dialing     opens a stream to a gateway, by a proxy where the environment names one
gateway     takes streams: who has a place
serving     one stream that is served: its sockets, and what it may send
arrivals    connections that have proved no peer yet
client      a node's own streams, by the gateway
ways        the streams that lead to a peer itself, for links with it
hinted      who may take streams by the links that are fetched now
keeper      when UDP is silent: two streams, and back to UDP
"""
