"""What a desktop's LoginResponse error means to us (docs/PROTOCOL.md 3.6).

The texts are the protocol: stock has no error numbers. What leaves the login open
(a second factor, a person who is to accept) is not here but in ``rdpeer.protocol.login``.
"""

from __future__ import annotations

from rdpeer.errors import AuthenticationFailed, PeerRefused, PeerUnavailable, RdpeerError
from rdpeer.values import PeerId, printable


class WrongPassword(AuthenticationFailed):
    """The desktop does not take the password; another may be tried, on another connection."""


_FOR_GOOD = "the desktop takes no more passwords from our address: too many were wrong"
_RESTART = "it takes them again when RustDesk was restarted there"

_ERRORS: dict[str, RdpeerError] = {
    "Wrong Password": WrongPassword(
        "the desktop says that the password is wrong",
        hint="a one-time password changes after each connection; a permanent one does not",
    ),
    "Wrong 2FA Code": AuthenticationFailed("the desktop says that the code of the second factor is wrong"),
    "2FA Required": AuthenticationFailed("the desktop wants a code of its second factor, out of turn"),
    "No Password Access": AuthenticationFailed("the desktop takes no password: a person has to accept there"),
    "Empty Password": AuthenticationFailed("the desktop wants a password", hint="give --password-file"),
    "Please try 1 minute later": AuthenticationFailed(
        "the desktop takes no more passwords in this minute: too many were wrong", hint="try again later"
    ),
    "Too many wrong attempts": AuthenticationFailed(_FOR_GOOD, hint=_RESTART),
    "Incorrect username or password.": AuthenticationFailed(
        "the desktop does not take the user name or its password"
    ),
    "Your ip is blocked by the peer": PeerRefused("the desktop's IP whitelist does not let us in"),
    "Your ID is blocked by the peer": PeerRefused("the desktop's ID whitelist does not let us in"),
    "Connection not allowed": PeerRefused("the desktop does not allow this connection"),
    "The main window is not open": PeerRefused("the desktop lets nobody in while its main window is closed"),
    "Someone turns on privacy mode, exit": PeerRefused("somebody has turned on the desktop's privacy mode"),
    "Terminal service user mismatch detected.": PeerRefused("the desktop's terminal is another user's"),
    "No active console user logged on, please connect and logon first.": PeerRefused(
        "nobody is logged on at the desktop"
    ),
    "Supported only in the installed version.": PeerRefused("the desktop can do this only where installed"),
    "Failed to get user token.": PeerRefused("the desktop cannot act for its user"),
}


def login_error(text: str, peer: PeerId) -> RdpeerError:
    """What ends a login that ``peer`` answered with ``text``; an unknown one is shown as it is."""
    if text == "Offline":
        return PeerUnavailable(f"the desktop says that it is not {peer}", hint="its ID may have been changed")
    if known := _ERRORS.get(text):
        return type(known)(str(known), hint=known.hint)  # a fresh one: exceptions collect tracebacks
    return _by_beginning(text)


def _by_beginning(text: str) -> RdpeerError:
    shown = printable(text)
    if text.startswith("Too many wrong attempts for IPv6 prefix"):
        return AuthenticationFailed(_FOR_GOOD + " or one beside it", hint=_RESTART)
    if text.startswith("Please try again in"):
        return AuthenticationFailed(f"the desktop does not look at passwords now: {shown}")
    if text.startswith("No permission of"):
        return PeerRefused(
            f"the desktop does not permit it: {shown}",
            hint="its security settings have a switch for TCP tunneling",
        )
    if text.startswith("Failed to access remote"):
        return PeerRefused(f"the desktop cannot reach the target: {shown}")
    return PeerRefused(f"the desktop refused: {shown.strip() or 'no reason given'}")
