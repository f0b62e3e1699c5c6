"""The edge: the only package that opens a socket, starts a thread or a process, or reads a clock."""
