"""rdpeer: the command-line peer for RustDesk networks."""

__version__ = "0.1.0"
