"""The tool itself: what it lets pass, and what not."""

from __future__ import annotations

import pytest
from playbook import After, Deadline, Playbook

from rdpeer.protocol.conversation import Command, DeadlineReached, Done, Event, Report, Started


class Echo:
    """Reports each event, and is done after 5 s."""

    deadline: float | None = None

    def handle(self, event: Event, now: float) -> list[Command]:
        if isinstance(event, DeadlineReached):
            return [Done("late")]
        self.deadline = now + 5.0
        return [Report(event)]


def test_a_transcript_that_holds() -> None:
    assert Playbook(Echo()) >> Started() << Report(Started()) >> After(2.0) >> Deadline(3.0) << Done("late")


def test_a_command_too_many_fails() -> None:
    with pytest.raises(AssertionError, match=r"\+ << Report"):
        assert Playbook(Echo()) >> Started()


def test_a_command_too_few_fails() -> None:
    with pytest.raises(AssertionError, match=r"- << Done"):
        assert Playbook(Echo()) >> Started() << Report(Started()) << Done(None)


def test_another_deadline_fails() -> None:
    with pytest.raises(AssertionError, match=r"it waits 5\.0 s"):
        assert Playbook(Echo()) >> Started() << Report(Started()) >> Deadline(4.0)


def test_a_deadline_that_was_passed_over_fails() -> None:
    with pytest.raises(AssertionError, match="its deadline came"):
        assert Playbook(Echo()) >> Started() << Report(Started()) >> After(6.0)


def test_a_playbook_that_is_not_run_fails() -> None:
    playbook = Playbook(Echo()) >> Started()
    with pytest.raises(AssertionError, match="was not run"):
        playbook.__del__()
    playbook._ran = True
