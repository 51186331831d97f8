"""What a person, a page or a game plugin sees of a node: the command line and the control API."""
