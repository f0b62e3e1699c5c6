"""Everything that rdpeer raises on purpose, one tree.

    RdpeerError
      UsageError             the command line or the settings are wrong; nothing was tried
      ServerError            the rendezvous server or relay cannot be used
        ServerUnreachable      no answer from it
        ServerRefused          it answered, and will not serve us
      PeerUnavailable        the server works, the peer is not to be had
        PeerUnknown            no such ID there
        PeerOffline            known, not registered now
        PeerSilent             registered, but it did not answer
      NoPath                 every way to the peer failed; each is listed
      AuthenticationFailed   the peer did not let us pass, or could not prove a shared secret
      IdentityMismatch       a key is not the one that it must be; never retried
      DeadlineExceeded       the time that the user gave, or that a handshake may take, is over
      ConnectionLost         the connection was up and broke: something may not have arrived
      ProtocolError          (abstract)
        LocalProtocolError     we used a state machine wrongly: a bug here
        RemoteProtocolError    the other end sent what the protocol does not allow
      PeerRefused            the peer said no to this connection

An exception's text is one line in lower case, for people, ready to stand behind
``rdpeer: error: ``; text that came from the network goes through
:func:`rdpeer.values.printable` before it gets here. ``hint`` is what to do about
it, or None. Exit codes are the command line's business (``rdpeer.cli.exits``).
"""

from __future__ import annotations


class RdpeerError(Exception):
    """Base of all errors that rdpeer raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(RdpeerError):
    """The command line, the settings or the profile cannot be used as they are."""


class ServerError(RdpeerError):
    """The rendezvous server or the relay cannot be used."""


class ServerUnreachable(ServerError):
    """No answer came from the host and port that the text names."""


class ServerRefused(ServerError):
    """The server answered, and does not serve us."""


class PeerUnavailable(RdpeerError):
    """The server works, but the peer is not to be had."""


class PeerUnknown(PeerUnavailable):
    """The server knows no peer of this ID."""


class PeerOffline(PeerUnavailable):
    """The server knows the ID; it is not registered now."""


class PeerSilent(PeerUnavailable):
    """The peer is registered, but did not answer."""


class NoPath(RdpeerError):
    """Every way to the peer failed; the text lists each with its reason."""


class AuthenticationFailed(RdpeerError):
    """The peer did not let us pass, or did not prove that it knows the secret."""


class IdentityMismatch(RdpeerError):
    """A key is not the one that it must be. Never retried, never downgraded."""


class DeadlineExceeded(RdpeerError):
    """The user's ``--timeout``, or the time that a handshake may take, is over."""


class ConnectionLost(RdpeerError):
    """The connection was up and ended without its orderly end."""


class ProtocolError(RdpeerError):
    """Abstract: one of the two below."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        if type(self) is ProtocolError:
            raise TypeError("raise LocalProtocolError or RemoteProtocolError")
        super().__init__(message, hint=hint)


class LocalProtocolError(ProtocolError):
    """A state machine was driven in a way that the protocol does not allow: a bug here."""


class RemoteProtocolError(ProtocolError):
    """The other end sent what the protocol does not allow, or what cannot be read."""


class PeerRefused(RdpeerError):
    """The peer said no to this connection: busy, not permitted, unreachable target, failed program."""
