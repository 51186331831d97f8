"""What a node answers about itself: one frozen value for each question of the command line or API.

Ids, addresses and links are the values of `protocol`, times are floats in the unit that the name
ends with. The control API's schemas are made from these classes and show their docstrings; its JSON
has the fields by their names, in their order.

marks   how fields are written as JSON, where their type alone does not tell
status  status, identity, end
mods    mods in the vault, shared, fetched, removed
peers   peers and links
network what the node knows of its network
dht     lookups, records, crawls
"""
