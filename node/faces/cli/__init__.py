"""The command line: a thin client of the control API, and `run`, which is the node itself.

main        the group of commands, loaded one by one so that the command line starts fast
exits       exit statuses, in one table
options     what commands have in common
client      the control API, seen from here
output      for people or as JSON, without control characters from peers
bars        progress
running     run, stop
asking      status, id, ls, peers
mods        share, get, rm
connecting  connect, links
doctoring   doctor
networks    networks and routers in words
trying      demo, simulate
"""
