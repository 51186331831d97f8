"""DHT datagrams and relaying over a TLS stream, for nodes whose network passes no UDP.

framing     datagrams in a stream
handshake   who is at either end of a stream
forwarding  what a gateway forwards for a stream
proxies     HTTP proxies on the way: which one, and what it answers
"""
