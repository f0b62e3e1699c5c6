"""The use cases of a peer: register, listen, connect, online."""
