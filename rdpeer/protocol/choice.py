"""The initiator's choice among the methods that a responder offers (docs/CHANNEL.md 3).

Two rules keep a lying server out. An initiator that was given a secret insists
on the exchange of it, whatever the responder claims to want: a stranger in the
peer's place would simply claim to be open. It may go without only if the
responder's key was proven by a pin or ``--peer-key``. And where the server
signed no key and there is no pin, nothing but the exchange proves who is there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rdpeer.errors import AuthenticationFailed, IdentityMismatch
from rdpeer.protocol.gate import Method

_NAMES = {Method.CODE: "one-time code", Method.PASSWORD: "password"}
_HOW_TO_GIVE = {
    Method.CODE: "run it on a terminal to be asked for the code, or set RDPEER_CODE",
    Method.PASSWORD: "run it on a terminal to be asked for the password, or give --password-file",
}


class SecretNeeded(AuthenticationFailed):
    """The peer wants one of ``methods``, and no secret was given.

    Whoever can ask a person closes this connection, asks, and starts again from
    the punch request: no guess was spent, and no handshake waits for a person.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        wanted = " or ".join(_NAMES[method] for method in methods)
        super().__init__(f"the peer asks for its {wanted}", hint=_HOW_TO_GIVE[methods[0]])
        self.methods = tuple(methods)


def choose_method(
    offered: Collection[Method],
    *,
    given: Collection[Method] = (),
    key_proven: bool,
    server_signed: bool,
    refused: Collection[Method] = (),
) -> Method:
    """The method to prove with.

    ``given`` says for which of CODE and PASSWORD the user gave a secret;
    ``key_proven`` that a pin or ``--peer-key`` stands for the responder's key,
    ``server_signed`` that the server signed it; ``refused`` what the peer has
    already refused from us (KEY, as a rule).

    Raises SecretNeeded where a person must be asked first, AuthenticationFailed
    where nothing offered can work, IdentityMismatch where what is left would
    not prove who the peer is.
    """
    left = [method for method in Method if method in offered and method not in refused]
    if not left:
        raise AuthenticationFailed(
            "the peer lets nobody in" if not offered else "the peer does not let us in",
            hint="its code may have been used or be older than an hour: ask there for a new one",
        )
    wanted = [method for method in left if method.needs_secret]
    for method in wanted:
        if method in given:
            return method
    if given and not key_proven:
        raise _secret_not_wanted(given, wanted)
    without = [method for method in (Method.OPEN, Method.KEY) if method in left]
    if without and (key_proven or server_signed):
        return without[0]
    if wanted:
        raise SecretNeeded(wanted)
    raise unproven_peer()


def unproven_peer() -> IdentityMismatch:
    """Nothing would prove who the peer is."""
    return IdentityMismatch(
        "nothing proves who the peer is: this server signs no keys",
        hint="give the peer's fingerprint with --peer-key, or let it listen with a code or a password",
    )


def _secret_not_wanted(given: Collection[Method], wanted: Sequence[Method]) -> AuthenticationFailed:
    ours = " and the ".join(_NAMES[method] for method in given)
    if wanted:
        theirs = " or ".join(_NAMES[method] for method in wanted)
        return AuthenticationFailed(f"the peer asks for its {theirs}, but a {ours} was given")
    return AuthenticationFailed(
        f"the peer does not ask for the {ours}, so nothing proves that it is the peer you mean",
        hint="give no secret if none is needed, or the peer's fingerprint with --peer-key",
    )
