"""What disks refuse and lack: calls that a file system does not do, locks, and room."""
