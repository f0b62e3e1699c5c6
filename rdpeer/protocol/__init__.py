"""The conversations, without I/O: one noun, one file."""
