"""Stands in for the node of a stream, and keeps what the stream has it say."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Log:
    """Stands in for a node and its logger."""

    news: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)

    def get_name(self) -> str:
        return "bridge"

    def get_logger(self) -> Log:
        return self

    def info(self, message: str) -> None:
        self.news.append(message)

    def warning(self, message: str) -> None:
        self.alarms.append(message)
