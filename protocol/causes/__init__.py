"""Why two peers have no link: the causes that can be known, and what helps against each.

cause          the causes, each with its sentence and its advice
tried          what was tried: the pairs of addresses of one attempt, with their outcomes
failed_checks  from the two networks and the pairs to the one cause
clock          whether the clock of this computer is off, for a player
network_kind   what the network of a node is, for a player
"""
