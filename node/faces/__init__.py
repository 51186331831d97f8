"""The interfaces of a node to people and programs: command line, control API, demo."""
