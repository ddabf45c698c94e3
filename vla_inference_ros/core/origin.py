"""What features are of: weights, views in their order, instruction; and whether that changed."""

from __future__ import annotations

from collections.abc import Sequence

from vla_inference_ros.core.run_state import Entry

_SHOWN = 60  # characters of an instruction in a reason


class Origin:
    """Of the features of one activation: the first ones say what all are to be of.

    ``change`` says what they are of otherwise than the first, in plain words, and ``surprise`` that
    their instruction has changed and nobody asked for it; '' if nothing is.
    """

    def __init__(self) -> None:
        self.change = self.surprise = ""
        self._model: str | None = None
        self._views: list[str] = []
        self._instruction: str | None = None
        self._since = 0  # when it was asked for [ns since 1970]

    def see(self, model: str, views: Sequence[str]) -> None:
        """Features have come, of this model, and these views in the order that it took them."""
        if self._model is None:
            self._model, self._views = model, list(views)
        changes = []
        if model != self._model:
            changes.append(f"the model from {self._model} to {model}")
        if list(views) != self._views:
            changes.append(f"the views from {', '.join(self._views)} to {', '.join(views)}")
        self.change = f"what features are of has changed: {'; '.join(changes)}" if changes else ""

    def follow(self, instruction: str, asked: Sequence[Entry]) -> None:
        """A chunk is to be computed by an ``instruction``. Those that were ``asked`` for by a
        message, the last one last, may be taken up at any time, but none before the present one.
        """
        if instruction == self._instruction:
            self.surprise = ""
            return
        if self._instruction is None and asked:
            self._since = asked[-1].time
        # It may have turned out since then that the present one was asked for earlier.
        present = [each.time for each in asked if each.value == self._instruction]
        self._since = min(self._since, max(present, default=self._since))
        times = [each.time for each in asked if each.value == instruction]
        if max(times, default=-1) >= self._since or (self._instruction is None and not asked):
            self._instruction, self._since = instruction, max(times, default=0)
            self.surprise = ""
            return
        if self._instruction is None:
            self.surprise = (
                f"the instruction is {_short(instruction)}, and not the last on /vla/instruction"
            )
        else:
            self.surprise = (
                f"the instruction changed from {_short(self._instruction)} to "
                f"{_short(instruction)}, and no message on /vla/instruction said so"
            )


def _short(instruction: str) -> str:
    return repr(instruction if len(instruction) <= _SHOWN else instruction[: _SHOWN - 1] + "…")
