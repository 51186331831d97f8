"""One running node: sockets, tasks, disk, policy and faces."""
