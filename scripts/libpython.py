"""Prints the version of the Python that runs this, and its shared library.

Ends with 1, and the reason on stderr, when that Python cannot be embedded. The syntax is one that
every Python 3 reads.
"""

import os
import sys
import sysconfig

OLDEST = (3, 8)


def libraries():
    name = sysconfig.get_config_var("INSTSONAME") or ""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") and not sysconfig.get_config_var("PYTHONFRAMEWORK"):
        return
    for variable in ("LIBDIR", "PYTHONFRAMEWORKPREFIX"):
        folder = sysconfig.get_config_var(variable)
        if folder:
            yield os.path.join(folder, name)
    # Where an installation was moved after it was built.
    yield os.path.join(sys.base_prefix, "lib", name)


version = ".".join(str(part) for part in sys.version_info[:3])

if sys.version_info < OLDEST:
    sys.exit("{} is Python {}, and 3.8 is the oldest that works".format(sys.executable, version))

for library in libraries():
    if os.path.isfile(library):
        print("{} {}".format(version, library))
        break
else:
    sys.exit(
        "{} (Python {}) has no shared library (on Debian and Ubuntu it is in the package "
        "libpython{}.{})".format(sys.executable, version, *sys.version_info[:2])
    )
