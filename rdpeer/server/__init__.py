"""The bundled rendezvous server and relay."""

from rdpeer.server.limits import Limits
from rdpeer.server.options import ServerOptions
from rdpeer.server.service import Server

__all__ = ["Limits", "Server", "ServerOptions"]
