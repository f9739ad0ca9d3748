"""What to do about an import that failed, and about code that nobody awaits: for the message on the other side, which
Python's own text leaves open.

Imported when there is something to say, and never in the way: what fails here is no hint.
"""

import importlib.machinery
import importlib.util
import os
import re
import sys
import sysconfig

#: Packages that are not called as the module that they install. To advise `pip install cv2` would be to advise
#: whatever somebody has put there under that name. ``None`` is one that several packages have a part of.
PACKAGES = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "Bio": "biopython",
    "OpenGL": "pyopengl",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "gi": "pygobject",
    "git": "gitpython",
    "google": None,
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "ldap": "python-ldap",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "nacl": "pynacl",
    "pkg_resources": "setuptools",
    "pylab": "matplotlib",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "ruamel": "ruamel.yaml",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "telegram": "python-telegram-bot",
    "umap": "umap-learn",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "wx": "wxpython",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}

#: What was a part of the standard library, and the last version of Python 3 that had it.
REMOVED = dict.fromkeys("asynchat asyncore distutils imp smtpd".split(), 11)
REMOVED.update(
    dict.fromkeys(
        "aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev pipes "
        "sndhdr spwd sunau telnetlib uu xdrlib".split(),
        12,
    )
)


#: Parts of the standard library that a distribution leaves out or that were not built; Python 3.10 and newer
#: know all of its names.
STANDARD = getattr(
    sys,
    "stdlib_module_names",
    frozenset("curses dbm ensurepip idlelib lib2to3 readline sqlite3 tkinter turtle venv".split()),
)


#: What Python says of ``await`` where there is no coroutine around it, and of coroutines that were not awaited.
AWAITS = re.compile(r"'(await|async (for|with))' outside|^asynchronous comprehension outside")
UNAWAITED = re.compile(r"'(coroutine|async_generator)' object ")

#: In what is written down of an environment: a lock pins its packages.
LOCKED = re.compile(r"\blocked\s*=>\s*true\b")

#: Where a coroutine is awaited.
AWAITED = (
    "A pool with engine: :asyncio awaits what calls give, and takes await outside of functions. "
    "Elsewhere asyncio.run(…) runs a coroutine to its end."
)

#: What asyncio says of an object that was made in another event loop.
FOREIGN = re.compile(r"(bound|attached|belongs) to a different (event )?loop")


def of(exception):
    """What to do about an exception, or ``None``."""
    if isinstance(exception, ImportError):
        return of_import(exception)
    if isinstance(exception, (RuntimeError, ValueError)) and FOREIGN.search(str(exception)) and _in_loop():
        return (
            "It was made in another event loop: of another pool, of another loop of this pool (:size), or of one that "
            "was held up for good and replaced, as the log says then. Make it in the loop that it is used in."
        )
    pattern = AWAITS if isinstance(exception, SyntaxError) else UNAWAITED
    if pattern.search(str(exception)) and not _in_loop():
        return AWAITED
    return None


def _in_loop():
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def of_import(exception):
    """What to do about an ``ImportError``, or ``None``."""
    name = exception.name
    if type(name) is not str:
        return None
    if name == "erlang":
        return other_erlang()
    if not isinstance(exception, ModuleNotFoundError):
        return None
    # A part of a package that is there, or a mistake that pip would make no better.
    if not name.isidentifier() or not name.isascii():
        return None
    return _missing(name)


def _missing(name):
    if sys.version_info[1] > REMOVED.get(name, 99):
        return "The standard library of Python has no %s since 3.%d.%s" % (
            name,
            REMOVED[name] + 1,
            " The package setuptools contains one." if name == "distutils" else "",
        )
    if name in STANDARD:
        return (
            "%s is a part of Python's standard library that %s lacks."
            % (name, _interpreter())
        )
    if name.startswith("_"):
        return None
    package = PACKAGES.get(name, name)
    if package is None:
        return (
            "%s has no such module. Several packages have a part of it: install the one that has %s.…"
            % (_interpreter(), name)
        )
    return (
        "%s has no such module. Install a package there with\n\n    %s\n\n"
        "For a file of your own, name its folder in the setting paths of :erlang_python, "
        'paths: ["/path/to/folder"], or add it to sys.path: '
        'Python.call!(:sys, "path.append", ["/path/to/folder"])'
        % (_interpreter(), _command(package))
    )


def _interpreter():
    if sys.prefix != sys.base_prefix:
        environment = "the virtual environment %s" % sys.prefix
    else:
        environment = "no virtual environment"
    version = "%d.%d.%d" % sys.version_info[:3]
    return "Python %s (%s, %s)" % (version, sys.executable or "python3", environment)


def _command(package):
    python = sys.executable or "python3"
    mark = _mark()
    if mark is not None:
        # Made by this library, for whoever asks for the same: it is not to be changed by hand.
        return (
            'Python.install(["%s"])\n\n'
            "for this VM, or name it in the setting python and run %smix python.install"
            % (package, "mix python.lock and " if LOCKED.search(mark) else "")
        )
    if sys.prefix == sys.base_prefix and _managed():
        # The system's package manager does not let pip in. Its `python_path` is to name the new one.
        return (
            "%s -m venv .venv && .venv/bin/python -m pip install %s\n\n"
            'and the setting python_path: ".venv"' % (python, package)
        )
    if importlib.util.find_spec("pip") is None:
        return "uv pip install --python %s %s" % (python, package)
    return "%s -m pip install %s" % (python, package)


def _mark():
    try:
        with open(os.path.join(sys.prefix, "erlang_python.term"), encoding="utf-8", errors="replace") as mark:
            return mark.read()
    except OSError:
        return None


def _managed():
    return os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))


def other_erlang():
    """What to know of another module that is called ``erlang``, if one is installed."""
    spec = importlib.machinery.PathFinder.find_spec("erlang")
    if spec is None or spec.origin is None:
        return None
    return (
        "Inside the VM, erlang is the module of erlang_python. Another one, %s (the package erlang_py installs "
        "one), must be loaded under another name; the guide to troubleshooting shows how." % spec.origin
    )
