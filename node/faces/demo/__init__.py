"""The demo: a whole overlay of real nodes on this machine, and a mod carried through it.

identity    makes one home's identity, in a process of its own
processes   node processes that end with their parent
comparison  two folders, byte by byte
packages    a folder of real files to share
overlay     nodes that join each other, two of them unreachable from outside
story       what happens, step by step
"""
