"""The bundled rendezvous server and relay."""
