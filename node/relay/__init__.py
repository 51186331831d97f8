"""Relays: this node as one, and this node as the client of others.

settings       what a person configures
service        the relay on this node's ports: STUN, TURN, credentials for peers
departures     joins what is forwarded in one turn of the loop
foreign_ports  relayed ports for foreign clients, where they are configured
port           an allocation as a port of this node
leg            one allocation of ours: kept, renewed, made again, released
client         all allocations of ours
dispatch       tells what is for the relay from what a relay sends to its client
"""
