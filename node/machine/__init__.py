"""What the operating system refuses, and what stands around this process: terminal, user, folders.

refusals        one table of its error numbers: cause, what to do, and whose fault it is
streams         standard output and error, whose other ends decide nothing
folders         the user's own folder and the current one
control_file    where the node of a home can be asked, if one runs there
patient_socket  how long its answer is waited for
descriptors     how many files may be open
"""
