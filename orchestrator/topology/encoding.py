"""Bytes to text: UTF-8 only, and nothing in it that an editor would not show.

A topology saved as UTF-16 or Latin-1 reads as noise further on; here it is named. Line breaks that editors do not count
(NEL, LS, PS) are refused with the control characters, because they would put every line number after them off.
"""

import codecs
import re

from orchestrator.topology.errors import InvalidTopology, Problem

_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SAVE_AS = "save the file as UTF-8"


def decode(data: bytes, file: str) -> str:
    """The text of a topology file, without a byte order mark.

    Raises:
        InvalidTopology: it is not UTF-8, or holds a character that YAML forbids.
    """
    for mark, name in _FOREIGN_MARKS:
        if data.startswith(mark):
            raise _refuse(file, data[:0], f"is {name}, not UTF-8", _SAVE_AS)
    body = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        message = f"is not UTF-8: byte 0x{body[exc.start]:02x}"
        raise _refuse(file, body[: exc.start], message, _SAVE_AS) from exc
    if found := _UNPRINTABLE.search(text):
        message = f"holds a character that YAML forbids: U+{ord(found[0]):04X}"
        hint = _SAVE_AS if found[0] == "\0" else "remove it"
        raise _refuse(file, text[: found.start()].encode(), message, hint)
    return text


def _refuse(file: str, before: bytes, message: str, hint: str) -> InvalidTopology:
    """``before`` is what stands ahead of the fault; all of it is UTF-8."""
    ahead = re.split(r"\r\n|\r|\n", before.decode("utf-8"))
    return InvalidTopology([Problem(file, len(ahead), len(ahead[-1]) + 1, "", message, hint)])
