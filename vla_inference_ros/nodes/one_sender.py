"""The one sender that a stream has at a time, and its clock; what others send is refused."""

from __future__ import annotations

import time

from vla_inference_ros.core.one_source import SILENCE, Listening, OneSource, Source
from vla_inference_ros.core.troubles import second_source
from vla_inference_ros.nodes.sender_stamps import SenderStamps
from vla_inference_ros.nodes.stream import Stream

SECOND_SOURCE = "second source"  # the kind that what is refused is counted under


class OneSender:
    """For the socket's thread alone."""

    def __init__(self, stream: Stream, clock_mode: str, host: str = "") -> None:
        """``host`` is how messages to people call the sender's host; "" for its source's name."""
        self._stream, self._mode, self._host = stream, clock_mode, host
        self._source = OneSource()
        self._stamps = SenderStamps(stream, clock_mode, host)

    def stamps_of(self, source: Source, listening: Listening) -> SenderStamps | None:
        """The clock for a good packet that has come from ``source`` to the thread that is
        ``listening``; None if the stream is another one's, and the packet must not be used.
        """
        before, now = self._source.owner, time.monotonic()
        listening.look(now)
        if not self._source.admits(source, now, listening.since):
            self._refuse(source)
            return None
        if source != before:
            self._take_over(source, before)
        return self._stamps

    def _refuse(self, source: Source) -> None:
        owner, other = self._source.owner, self._source.other
        assert owner is not None
        self._stream.problem(
            SECOND_SOURCE,
            f"{source.name} sends as well as {owner.name}, whose stream this is as it came first: "
            "refused. Stop one of them",
            told=True,
        )
        if other is not None:
            self._stream.troubles.see(second_source(other.name))

    def _take_over(self, source: Source, before: Source | None) -> None:
        if before is not None:
            self._stream.warn(
                "new source",
                f"{source.name} sends now, {before.name} has been silent for {SILENCE:g} s",
            )
        if before is None or source.host != before.host:
            if self._stream.rhythm is not None:
                self._stream.rhythm.forget()
            self._stamps = SenderStamps(self._stream, self._mode, self._host or source.name)
