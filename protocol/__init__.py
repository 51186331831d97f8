"""What peers say to each other: bytes, rules and state machines.

Nothing here opens a socket, starts a task, reads a clock or draws randomness: bytes, `now` and
`rng` come in, values and effects go out.
"""
