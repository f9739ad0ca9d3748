"""Python's ``logging`` and ``warnings`` on their way to the log of the VM."""

import sys

import erlang


def install():
    """Attaches a handler to the root logger, now or when ``logging`` is imported.

    Importing it takes several ms, which a start that needs no logs should not pay.
    """
    if "logging" in sys.modules:
        _attach(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, _WhenImported())
    _redirect_warnings()


class _WhenImported:
    """A finder that finds nothing itself but adds to what ``logging`` does when it is loaded."""

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        import importlib.util

        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                _attach(module)

            spec.loader.exec_module = exec_module
        return spec


def _attach(logging):
    levels = (
        (logging.CRITICAL, "critical"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warning"),
        (logging.INFO, "info"),
        (logging.DEBUG, "debug"),
    )

    class Handler(logging.Handler):
        def emit(self, record):
            try:
                level = next((name for at, name in levels if record.levelno >= at), "debug")
                erlang.log(
                    level,
                    _text(self.format(record)),
                    logger=_text(record.name),
                    file=_text(record.pathname),
                    line=record.lineno,
                    function=_text(record.funcName),
                )
            except Exception:
                self.handleError(record)

    root = logging.getLogger()
    # The log of the VM decides what is shown. Debugging is asked for by logger, as elsewhere.
    root.setLevel(logging.INFO)
    root.addHandler(Handler())


def _redirect_warnings():
    import warnings

    def showwarning(message, category, filename, lineno, file=None, line=None):
        if file is not None:
            return original(message, category, filename, lineno, file, line)
        text = "%s: %s" % (category.__name__, message)
        erlang.log(
            "warning",
            _text(text),
            logger="py.warnings",
            file=_text(filename),
            line=lineno,
            function="<module>",
        )

    original, warnings.showwarning = warnings.showwarning, showwarning


def _text(value):
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
