"""The one sender that a stream has at a time, and its clock; what others send is refused."""

from __future__ import annotations

import time
from collections.abc import Callable

from vla_inference_ros.core.source import QUIET, Listening, Sender, Source
from vla_inference_ros.core.troubles import second_source
from vla_inference_ros.nodes.sender_stamps import SenderStamps
from vla_inference_ros.nodes.stream import Stream

SECOND_SOURCE = "second source"  # the kind that what is refused is counted under


class OneSender:
    """For the socket's thread alone."""

    def __init__(
        self,
        stream: Stream,
        clock_mode: str,
        listening: Listening,
        host: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``listening`` is the socket's thread. ``host`` is how messages to people call the
        sender's host; "" for its sender's name.
        """
        self._stream, self._mode, self._host = stream, clock_mode, host
        self._source: Source[Sender] = Source(listening=listening, clock=clock)
        self._stamps = SenderStamps(stream, clock_mode, host)

    def stamps_of(self, sender: Sender) -> SenderStamps | None:
        """The clock for a good packet that has come from ``sender``; None if the stream is another
        one's, and the packet must not be used.
        """
        before = self._source.bound
        if not self._source.admit(sender):
            assert before is not None
            self._refuse(sender, before)
            return None
        if sender != before:
            self._take_over(sender, before)
        return self._stamps

    def _refuse(self, sender: Sender, owner: Sender) -> None:
        self._stream.problem(
            SECOND_SOURCE,
            f"{sender.name} sends as well as {owner.name}, whose stream this is as it came first: "
            "refused. Stop one of them",
            told=True,
        )
        # One at a time, however many names somebody invents; none is left if just now this one may
        # take over.
        first = next(iter(self._source.strangers()), sender)
        self._stream.troubles.see(second_source(first.name))

    def _take_over(self, sender: Sender, before: Sender | None) -> None:
        if before is not None:
            self._stream.warn(
                "new source",
                f"{sender.name} sends now, {before.name} has been silent for {QUIET:g} s",
            )
        if before is None or sender.host != before.host:
            if self._stream.rhythm is not None:
                self._stream.rhythm.forget()
            self._stamps = SenderStamps(self._stream, self._mode, self._host or sender.name)
