"""What a person at a terminal does and meets: Ctrl-C, links typed or piped in, typing errors.

interrupts  Ctrl-C ends a command with a status and never with a traceback
given       links from the command line, a prompt, standard input or a file
hidden      answers that are not shown
questions   yes or no
typos       the name that was probably meant
words       arguments and options, none of them blank
"""
