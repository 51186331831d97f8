"""The DHT on its sockets: the only package that touches `kademlia` and `rpcudp`."""
