"""CURVE certificates made for a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zmq.auth


@dataclass(frozen=True, slots=True)
class Certificate:
    """Both files of one side."""

    public: Path
    secret: Path


def certificate(folder: Path, name: str) -> Certificate:
    """Make one; the secret file is its owner's alone."""
    public, secret = map(Path, zmq.auth.create_certificates(folder, name))
    secret.chmod(0o600)
    return Certificate(public, secret)


def allowing(folder: Path, *certificates: Certificate) -> Path:
    """Make a folder with the public certificates of those who may connect."""
    folder.mkdir()
    for one in certificates:
        (folder / one.public.name).write_bytes(one.public.read_bytes())
    return folder
