"""The Kademlia overlay without its sockets: messages, tables, lookups and the store."""
