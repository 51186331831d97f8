"""How a node learns whether others reach it, and what it does about it.

own_network      what is known, from every response and from what follows
own_clock        what contacts say of the time and of dates, and the corrected clock
clock_upkeep     asks contacts for the time, where too few have told it
dialing          dial-backs for other nodes
testing          rounds of dial-backs to this node
forwarding       the port that the router forwards, by UPnP
moves            changes of address, and sleep
upkeep           all of these run side by side
"""
