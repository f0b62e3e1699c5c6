"""Keys, signed identities, the two channels (stock and rdpeer), the SPAKE2 group."""
