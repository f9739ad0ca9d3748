"""Lets the scripts of a bundle find the interpreter beside them, in whatever folder that is.

    python -E -s scripts.py FOLDER
"""

import os
import sys

# The shell takes the second line for a command, Python for a text.
BESIDE = b"""#!/bin/sh
'''exec' "$(dirname -- "$(realpath -- "$0")")"/'python3' "$0" "$@"
' '''
"""

# As uv and pip begin a script whose interpreter has a long path, or is beside it.
BY_SHELL = b"#!/bin/sh\n'''exec'"


def rewritten(text):
    """The text of a script of Python. None for any other file."""
    if text.startswith(BY_SHELL):
        return BESIDE + text.split(b"\n", 3)[3]
    first, _, rest = text.partition(b"\n")
    if first.startswith(b"#!") and b"python" in os.path.basename(first.split()[0]):
        return BESIDE + rest
    return None


def main():
    folder = sys.argv[1]
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            text = rewritten(file.read())
        if text is not None:
            with open(path, "wb") as file:
                file.write(text)


if __name__ == "__main__":
    main()
