"""What a program or library of Linux needs, and where it looks for that.

Only what has its place in the file already is changed: a shorter text in place of a longer one. So nothing moves, and no
tool is needed. https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html
"""

import struct

LOAD, DYNAMIC = 1, 2
NEEDED, STRINGS, SONAME, RPATH, RUNPATH = 1, 5, 14, 15, 29


class Elf:
    """The dynamic section of a file. `Elf.read` gives None for a file that has none."""

    def __init__(self, path, entries, strings):
        self.path = path
        self.entries = entries
        self.strings = strings

    @classmethod
    def read(cls, path):
        with open(path, "rb") as file:
            if file.read(4) != b"\x7fELF":
                return None
            file.seek(0)
            data = file.read()
        try:
            return cls._parse(path, data)
        except (struct.error, IndexError, ValueError):
            return None

    @classmethod
    def _parse(cls, path, data):
        wide = data[4] == 2
        order = "<" if data[5] == 1 else ">"
        if wide:
            (table,) = struct.unpack_from(order + "Q", data, 32)
            size, count = struct.unpack_from(order + "HH", data, 54)
        else:
            (table,) = struct.unpack_from(order + "I", data, 28)
            size, count = struct.unpack_from(order + "HH", data, 42)

        loads, dynamic = [], None
        for number in range(count):
            start = table + number * size
            (kind,) = struct.unpack_from(order + "I", data, start)
            if wide:
                offset, address, _, length = struct.unpack_from(order + "QQQQ", data, start + 8)
            else:
                offset, address, _, length = struct.unpack_from(order + "IIII", data, start + 4)
            if kind == LOAD:
                loads.append((address, offset, length))
            elif kind == DYNAMIC:
                dynamic = (offset, length)
        if dynamic is None:
            return None

        entries = list(struct.iter_unpack(order + ("qQ" if wide else "iI"), _whole(data, dynamic, wide)))
        strings = None
        for tag, value in entries:
            if tag == 0:
                break
            if tag == STRINGS:
                strings = next(o + value - a for a, o, n in loads if a <= value < a + n)
        if strings is None:
            return None

        found = []
        for tag, value in entries:
            if tag == 0:
                break
            if tag in (NEEDED, SONAME, RPATH, RUNPATH):
                start = strings + value
                found.append((tag, start, data[start : data.index(b"\0", start)].decode()))
        return cls(path, found, strings)

    @property
    def needed(self):
        return [text for tag, _, text in self.entries if tag == NEEDED]

    @property
    def soname(self):
        return next((text for tag, _, text in self.entries if tag == SONAME), None)

    @property
    def places(self):
        """The folders that it looks into, each with the place in the file: a list of (offset, text)."""
        return [(start, text) for tag, start, text in self.entries if tag in (RPATH, RUNPATH)]

    def replace(self, start, old, new):
        """Writes a text in place of a longer one. False if it is not shorter."""
        old, new = old.encode(), new.encode()
        if len(new) > len(old):
            return False
        with open(self.path, "r+b") as file:
            file.seek(start)
            file.write(new + b"\0" * (len(old) - len(new)))
        return True


def _whole(data, dynamic, wide):
    offset, length = dynamic
    entry = 16 if wide else 8
    return data[offset : offset + length - length % entry]
