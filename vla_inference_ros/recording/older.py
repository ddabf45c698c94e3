"""Messages that were recorded by an older version of their type, in the form that it has now.

A bag holds the definition that its messages were written by. Where a type has only got more fields
since, as when this package learnt to say more, what is new is left as it is by default.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vla_inference_ros.recording.definitions import definition_of, message_class

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Typesdict
    from rosbags.typesys.store import Typestore


class OtherVersionError(ValueError):
    """A version of a type that has what ours has not, or something else in its place."""


class OlderMessages:
    """Reads the messages of ``message_type`` that were written by the definition ``text``."""

    def __init__(self, message_type: str, text: str) -> None:
        """Raises OtherVersionError."""
        self._type = message_type
        self._class = message_class(message_type)
        then = _types_of(message_type, text)
        self._store = _store_of(message_type, text)
        now = get_types_from_msg(definition_of(message_type).text, message_type)
        for name, (_, fields) in then.items():
            known = dict(now[name][1]) if name in now else {}
            for field, kind in fields:
                if known.get(field) != kind:
                    raise OtherVersionError(f"field {field!r} of {name} is not what it is now")

    def read(self, data: bytes) -> Any:
        """A message from its bytes (CDR). ValueError if they are none of that definition."""
        try:
            found = self._store.deserialize_cdr(data, self._type)
        except Exception as error:  # whatever it stumbles on
            raise ValueError(f"does not deserialize: {error}") from error
        return _filled(self._class(), found)


def hash_of(message_type: str, text: str) -> str:
    """The hash by which ROS knows the type that a definition is of. Raises OtherVersionError."""
    return str(_store_of(message_type, text).hash_rihs01(message_type))


def _store_of(message_type: str, text: str) -> Typestore:
    store = get_typestore(Stores.EMPTY)
    store.register(_types_of(message_type, text))
    return store


def _types_of(message_type: str, text: str) -> Typesdict:
    """The type and those that it is made of, as a definition has them."""
    if not text.strip():
        raise OtherVersionError("its definition is not in the bag")
    try:
        return get_types_from_msg(text, message_type)
    except Exception as error:  # whatever its parser stumbles on
        raise OtherVersionError(f"its definition cannot be read: {error}") from error


def _filled(message: Any, found: Any) -> Any:
    """A new message with what an older one says."""
    for field in message.get_fields_and_field_types():
        if hasattr(found, field):
            setattr(message, field, _value(getattr(message, field), getattr(found, field)))
    return message


def _value(default: Any, found: Any) -> Any:
    """What an older message has in a field, in the type that ``default`` has there."""
    if isinstance(default, array):
        return array(default.typecode, found.tobytes())
    if isinstance(default, list):
        return [_value(_new(item), item) for item in found]
    return _filled(default, found) if hasattr(found, "__msgtype__") else found


def _new(found: Any) -> Any:
    """A new message of an older one's type; None for what is no message."""
    return message_class(found.__msgtype__)() if hasattr(found, "__msgtype__") else None
