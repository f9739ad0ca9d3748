"""Print one line of JSON about the interpreter that runs this file.

It runs under any Python, also one that is far too old, so that "too old" can be told: plain
syntax, no `json` (importing it takes longer than everything else here), and nothing imported that
the interpreter has not loaded already. The interpreter is started just as the embedded one will
be, with `site` and with the same environment, so what would stop that one shows up here first.

The line starts with `{"erlang_python_probe":`; whatever else a start prints (a `sitecustomize`, a
wrapper script) does not matter.
"""

import os
import sys

WINDOWS = sys.platform in ("win32", "cygwin", "msys")
MACOS = sys.platform == "darwin"
MULTIARCH = getattr(getattr(sys, "implementation", None), "_multiarch", None)
ABIFLAGS = getattr(sys, "abiflags", "")
BASE_PREFIX = getattr(sys, "base_prefix", sys.prefix)
BASE_EXEC_PREFIX = getattr(sys, "base_exec_prefix", sys.exec_prefix)


def build_variables():
    """The Makefile's variables, without the 5 ms that `sysconfig` takes to gather them."""
    try:
        name = "_sysconfigdata_%s_%s_%s" % (ABIFLAGS, sys.platform, MULTIARCH or "")
        return dict(__import__(name).build_time_vars)
    except Exception:
        try:
            import sysconfig

            return sysconfig.get_config_vars()
        except Exception:
            return {}


def loaded_libpython():
    """The libpython that this very process has mapped, where the system tells (Linux)."""
    name = "libpython%d.%d" % sys.version_info[:2]
    try:
        with open("/proc/self/maps", "rb") as maps:
            for line in maps:
                path = line[line.find(b"/") :].rstrip(b"\n")
                base = path[path.rfind(b"/") + 1 :]
                if base.startswith(name.encode("ascii")) and b".so" in base:
                    return path if str is bytes else os.fsdecode(path)
    except Exception:
        pass
    return None


def libpython_names(variables):
    major, minor = sys.version_info[:2]
    if WINDOWS:
        threading = "t" if variables.get("Py_GIL_DISABLED") else ""
        return ["python%d%d%s.dll" % (major, minor, threading)]

    stem = "libpython%d.%d%s" % (major, minor, ABIFLAGS)
    names = [variables.get("INSTSONAME"), variables.get("LDLIBRARY")]
    if MACOS:
        # In a framework build the library has the framework's name and no ending.
        names += [variables.get("PYTHONFRAMEWORK"), stem + ".dylib"]
    else:
        names += [stem + ".so.1.0", stem + ".so"]
    # A static build names its archive there.
    return [name for name in names if name and not name.endswith(".a")]


def libpython_folders(variables):
    """Where the library may be: first near the interpreter, since an installation that was moved
    (conda, uv) or is built in stages (Debian) may have other places in its variables."""
    if WINDOWS:
        base_executable = getattr(sys, "_base_executable", None) or sys.executable or ""
        return [BASE_PREFIX, os.path.dirname(base_executable)]

    folders = []
    for prefix in (BASE_PREFIX, BASE_EXEC_PREFIX):
        folders.append(os.path.join(prefix, "lib"))
        if MULTIARCH:
            folders.append(os.path.join(prefix, "lib", MULTIARCH))
        folders.append(os.path.join(prefix, "lib64"))
    if MACOS:
        folders += [BASE_PREFIX, variables.get("PYTHONFRAMEWORKPREFIX")]
    folders += [variables.get("LIBDIR"), variables.get("LIBPL")]
    return [folder for folder in folders if folder]


def find_libpython(variables):
    """The path of the library, or None, and the paths that were tried before."""
    tried = []
    for folder in libpython_folders(variables):
        for name in libpython_names(variables):
            path = os.path.join(folder, name)
            if path not in tried:
                if os.path.isfile(path):
                    return os.path.abspath(path), tried
                tried.append(path)
    return None, tried


def implementation():
    try:
        return sys.implementation.name
    except AttributeError:
        return "pypy" if "__pypy__" in sys.builtin_module_names else "cpython"


def machine():
    try:
        return os.uname()[4]
    except AttributeError:
        return os.environ.get("PROCESSOR_ARCHITECTURE", "")


def report():
    libpython, tried = loaded_libpython(), []
    # Reading them takes ms, and this much is known of who has a libpython.
    variables = {"Py_ENABLE_SHARED": 1} if libpython else build_variables()
    if not libpython:
        libpython, tried = find_libpython(variables)
    base_prefix = getattr(sys, "real_prefix", BASE_PREFIX)
    return [
        ("erlang_python_probe", 1),
        ("version", list(sys.version_info[:3])),
        ("version_string", sys.version.split()[0]),
        ("build", " ".join(sys.version.split())),
        ("implementation", implementation()),
        ("executable", sys.executable or None),
        ("prefix", sys.prefix),
        ("exec_prefix", sys.exec_prefix),
        ("base_prefix", base_prefix),
        ("base_exec_prefix", BASE_EXEC_PREFIX),
        ("venv", sys.prefix != base_prefix),
        ("libpython", libpython),
        ("libpython_tried", tried),
        ("enable_shared", bool(variables.get("Py_ENABLE_SHARED"))),
        ("free_threaded", "t" in ABIFLAGS or variables.get("Py_GIL_DISABLED") in (1, "1")),
        ("debug", hasattr(sys, "gettotalrefcount")),
        ("pointer_bits", 64 if sys.maxsize > 2**32 else 32),
        ("machine", machine()),
        ("platform", sys.platform),
    ]


def json(value):
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return "%d" % value
    if isinstance(value, list):
        return "[%s]" % ", ".join([json(item) for item in value])
    return json_text(value)


def json_text(text):
    """A JSON string, or `{"hex": ...}` for a path whose bytes are not UTF-8."""
    raw = text if isinstance(text, bytes) else os.fsencode(text)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return '{"hex": "%s"}' % "".join(["%02x" % byte for byte in bytearray(raw)])

    quoted = []
    for character in text:
        code = ord(character)
        if character in '"\\':
            quoted.append("\\" + character)
        elif 32 <= code < 127:
            quoted.append(str(character))
        elif code < 0x10000:
            quoted.append("\\u%04x" % code)
        else:
            code -= 0x10000
            quoted.append("\\u%04x\\u%04x" % (0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF)))
    return '"%s"' % "".join(quoted)


def main():
    fields = ['"%s": %s' % (name, json(value)) for name, value in report()]
    line = "\n{%s}\n" % ", ".join(fields)
    sys.stdout.flush()
    # One write, so that nothing gets in between, and no finalisation: it would only take time.
    os.write(1, line.encode("ascii"))
    os._exit(0)


main()
