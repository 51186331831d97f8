"""The path under a link: ICE on the ports of the node."""
