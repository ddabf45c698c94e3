"""Keeps what was asked for while the run goes on, together with the nodes that do so too.

A message on /vla/instruction is heard once, by those who are there. Here each keeper tells what it
knows on /vla/run_state, whose last message is kept for nodes that start later: so a node that has
died and was started again learns what it had been told.

A keeper may outlive its run, as one on another machine does, and must not rule the next: the nodes
of one launch know each other by VLA_RUN_ID. Those started by hand have none, and take what any
says.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from std_msgs.msg import String

from vla_inference_ros.convert import header
from vla_inference_ros.core.printable import printable
from vla_inference_ros.core.run_state import Entry, RunState
from vla_inference_ros.graph import RUN_ID
from vla_inference_ros.msg import RunState as RunStateMessage
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.vla_node import VlaNode

INSTRUCTION = "/vla/instruction"
LONGEST_INSTRUCTION = 2000  # characters; the model's time grows with them

_REMEMBERED = 16  # instructions
_SHOWN = 60  # characters of one in a message to people
_JUST_STARTED = 5.0  # in which messages may come that others have heard long ago [s]
_PATIENCE = 1.0  # for what other keepers know [s]


class InstructionError(ValueError):
    """An instruction that cannot be used; ``kind`` is the word that it is counted by."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def checked_instruction(text: str) -> str:
    """The instruction without spaces around it. Raises InstructionError."""
    instruction = text.strip()
    if not instruction:
        raise InstructionError("empty instruction", "an empty /vla/instruction is not used")
    if len(instruction) > LONGEST_INSTRUCTION:
        raise InstructionError(
            "long instruction",
            f"an instruction of {len(instruction)} characters is not used: give it in at most "
            f"{LONGEST_INSTRUCTION}",
        )
    return instruction


class RunStateKeeper:
    """One keeper. For the executor's thread; any may read the properties."""

    def __init__(
        self,
        node: VlaNode[Any],
        changed: Callable[[], None] = lambda: None,
        refused: Callable[[InstructionError], None] = lambda error: None,
    ) -> None:
        """``changed`` is called when the state has, ``refused`` for an instruction that cannot be
        used.
        """
        self._node, self._changed, self._refused = node, changed, refused
        self._state = RunState()
        self._run_id = os.environ.get(RUN_ID, "")
        self._foreign: set[str] = set()  # instructions of other runs that have been told of
        self._asked: tuple[Entry, ...] = ()
        self._started = time.monotonic()
        self._has_heard = False
        self._publisher = node.create_publisher(RunStateMessage, "/vla/run_state", qos.RUN_STATE)
        node.create_subscription(
            RunStateMessage, "/vla/run_state", self._hear, qos.latched_of_several()
        )
        # Who publishes without keeping the last message does not match one who asks for it, which
        # is no reason to warn.
        node.create_subscription(String, INSTRUCTION, self._hear_instruction, qos.unlatched())
        node.create_subscription(
            String,
            INSTRUCTION,
            self._hear_instruction,
            qos.latched_of_several(),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )
        self._heard: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)  # when published, and what
        self._publish()  # so that others know that there is nothing

    @property
    def is_informed(self) -> bool:
        """Whether another keeper has told what it knows, or none seems to be there."""
        return self._has_heard or time.monotonic() - self._started > _PATIENCE

    @property
    def instruction(self) -> str | None:
        """The prompt that was asked for last; None if none was."""
        return self._asked[-1].value if self._asked else None

    @property
    def asked(self) -> tuple[Entry, ...]:
        """The prompts that were asked for lately, the last one last."""
        return self._asked

    @property
    def values(self) -> dict[str, str]:
        """All that was asked for, by name."""
        return {name: entry.value for name, entry in self._state.entries.items()}

    def ask(self, name: str, value: str) -> None:
        """Something has been asked for, by another way than a message on /vla/instruction."""
        if self._state.value(name) != value and self._state.ask(name, value):
            self._tell()

    def _hear(self, message: RunStateMessage) -> None:
        if message.source_id == self._node.source_id:
            return
        if self._run_id and message.run_id != self._run_id:
            self._tell_of_another_run(message)
            return
        self._has_heard = True
        said = _instructions(message)
        try:
            for instruction in said:
                checked_instruction(instruction)
            is_news = self._state.merge(
                message.names, message.values, message.times, message.stamps, message.guessed
            )
        except ValueError:  # of a program that knows neither the message's form nor what fits
            return
        if is_news:
            self._tell_of_inherited(self._state.value(INSTRUCTION) if said else None)
            self._tell()

    def _tell_of_another_run(self, message: RunStateMessage) -> None:
        """Once for each instruction, and not for all that somebody may invent."""
        for said in _instructions(message):
            if said in self._foreign or len(self._foreign) >= _REMEMBERED:
                continue
            self._foreign.add(said)
            self._node.get_logger().warning(
                f"the instruction {printable(said[:_SHOWN])!r} is of another run, of which a node "
                f"is still there: not used. All nodes of one run need the same {RUN_ID}"
            )

    def _tell_of_inherited(self, instruction: str | None) -> None:
        """That a node started by hand goes by what was said before: by whom, it cannot know."""
        is_old = time.monotonic() - self._started < _JUST_STARTED
        is_heard = any(instruction == said.strip() for _, said in self._heard)
        if not self._run_id and instruction is not None and is_old and not is_heard:
            self._node.get_logger().warning(
                f"the instruction is {printable(instruction[:_SHOWN])!r}, as nodes know that were "
                f"there before; if it is of an earlier run, say another on {INSTRUCTION}"
            )

    def _hear_instruction(self, message: String, info: dict[str, Any]) -> None:
        heard = (info["source_timestamp"], message.data)
        if heard in self._heard:  # by the other subscription
            return
        self._heard.append(heard)
        try:
            instruction = checked_instruction(message.data)
        except InstructionError as error:
            self._refused(error)
            return
        is_old = time.monotonic() - self._started < _JUST_STARTED  # it may be, at least
        stamp = max(1, int(info["source_timestamp"]))
        if self._state.ask(INSTRUCTION, instruction, stamp if is_old else None, stamp=stamp):
            self._tell()

    def _tell(self) -> None:
        self._asked = self._state.of(INSTRUCTION)[-_REMEMBERED:]
        self._publish()
        self._changed()

    def _publish(self) -> None:
        known = self._state.known
        self._publisher.publish(
            RunStateMessage(
                header=header(self._node.now()),
                names=[name for name, _ in known],
                values=[entry.value for entry in known.values()],
                times=[entry.time for entry in known.values()],
                stamps=[stamp for _, stamp in known],
                guessed=[entry.guessed for entry in known.values()],
                source_id=self._node.source_id,
                run_id=self._run_id,
            )
        )


def _instructions(message: RunStateMessage) -> list[str]:
    pairs = zip(message.names, message.values, strict=False)
    return [value for name, value in pairs if name == INSTRUCTION]
