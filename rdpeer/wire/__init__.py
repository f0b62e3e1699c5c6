"""Bytes to values and back: messages, frames, mangled endpoints, channel records."""
