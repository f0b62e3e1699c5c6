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
    """A ``rdpeer.peer.connect.Person``. ``totp_command`` answers for it when a desktop wants a code."""

    def __init__(self, invocation: Invocation, totp_command: Sequence[str] = ()) -> None:
        self._invocation = invocation
        self._totp_command = totp_command

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

    async def desktop_password(self) -> str | None:
        """None where there is no terminal, or nothing is typed: somebody at the desktop is to accept."""
        from rdpeer.errors import AuthenticationFailed, UsageError
        from rdpeer.net.terminal import ask
        from rdpeer.protocol.gate import Method

        while True:
            try:
                typed = await ask("password (none: somebody there is asked): ", hidden=True)
            except OSError:
                return None
            except EOFError:
                raise AuthenticationFailed("no password was given") from None
            try:
                return normalized(Method.PASSWORD, typed, "password").decode() if typed else None
            except UsageError as slip:
                voice.note(str(slip))

    async def second_factor(self, again: bool) -> str:
        """What the command says, or a person types. AuthenticationFailed where there is neither."""
        from rdpeer.errors import AuthenticationFailed
        from rdpeer.net.terminal import ask

        if self._totp_command:
            return await self._command_output(again)
        if again:
            voice.note("the code is wrong")
        try:
            return (await ask("code of the second factor: ", hidden=False)).strip()
        except EOFError:
            raise AuthenticationFailed("no code was given") from None
        except OSError:
            raise AuthenticationFailed(
                "the desktop wants a code of its second factor",
                hint="run it on a terminal to be asked for it, or give --totp-command",
            ) from None

    async def _command_output(self, again: bool) -> str:
        from rdpeer.errors import AuthenticationFailed
        from rdpeer.net.command import first_line

        if again:
            raise AuthenticationFailed("the desktop says that the code of --totp-command is wrong")
        try:
            return await first_line(self._totp_command)
        except (OSError, ValueError) as error:
            raise AuthenticationFailed(f"--totp-command {self._totp_command[0]}: {error}") from error

    def note(self, text: str) -> None:
        voice.note(text)

    def detail(self, text: str) -> None:
        self._invocation.verbose(text)
