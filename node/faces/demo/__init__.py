"""The demo: a whole overlay of real nodes on this machine, and a mod carried through it.

identity    makes one home's identity, in a process of its own
processes   node processes that end when they should, whatever happens
comparison  two folders, byte by byte
packages    a folder of real files to share
overlay     nodes that join each other, and two strangers
story       what happens, step by step
"""
