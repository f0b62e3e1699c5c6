"""The person at the terminal: who is asked for codes, passwords and approval, and told the news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rdpeer.cli import voice
from rdpeer.cli.common import Invocation
from rdpeer.cli.secrets import normalized

if TYPE_CHECKING:
    from rdpeer.protocol.gate import Method
    from rdpeer.values import PeerId, PublicKey


class Terminal:
    """A ``rdpeer.peer.connect.Person``."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    async def secret(self, methods: Sequence[Method]) -> tuple[Method, bytes]:
        """The first of ``methods`` is asked for, again if it cannot be one: a slip costs no guess.

        AuthenticationFailed where there is no terminal, or nothing is typed.
        """
        from rdpeer.errors import AuthenticationFailed, UsageError
        from rdpeer.net.terminal import ask
        from rdpeer.protocol.choice import SecretNeeded
        from rdpeer.protocol.gate import Method

        method = methods[0]
        name = method.name.lower()
        while True:
            try:
                typed = await ask(f"{name}: ", hidden=method is Method.PASSWORD)
            except OSError:
                raise SecretNeeded(methods) from None
            except EOFError:
                raise AuthenticationFailed("no code or password was given") from None
            if not typed:
                raise AuthenticationFailed("no code or password was given")
            try:
                return method, normalized(method, typed, name)
            except UsageError as slip:
                voice.note(str(slip))

    async def approves(self, peer: PeerId, key: PublicKey) -> None:
        """Yes or no to the key's fingerprint. IdentityMismatch for no, and where there is no terminal."""
        from rdpeer.errors import IdentityMismatch
        from rdpeer.net.terminal import ask

        question = (
            f"the key of {peer} is {key.fingerprint}; only the server vouches for it. connect? (yes/no) "
        )
        try:
            if (await ask(question, hidden=False)).strip().lower() == "yes":
                return
        except EOFError:
            pass
        except OSError:
            raise IdentityMismatch(
                f"nobody can be asked whether {key.fingerprint} is the key of {peer}",
                hint="run it on a terminal, or give --peer-key",
            ) from None
        raise IdentityMismatch(f"{key.fingerprint} was not approved as the key of {peer}")

    def note(self, text: str) -> None:
        voice.note(text)

    def detail(self, text: str) -> None:
        self._invocation.verbose(text)
