"""Python's ``logging`` and ``warnings`` on their way to the log of the VM."""

import functools

import erlang
from erlang import _imports


def install():
    """Attaches a handler to the root logger, now or when ``logging`` is imported.

    Importing it takes several ms, which a start that needs no logs should not pay.
    """
    _imports.when_imported("logging", _attach)
    _redirect_warnings()


def _attach(logging):
    levels = (
        (logging.CRITICAL, "critical"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warning"),
        (logging.INFO, "info"),
        (logging.DEBUG, "debug"),
    )

    class Handler(logging.Handler):
        def handle(self, record):
            # Without the handler's lock: the log is the VM's, which takes entries from all threads,
            # and whoever waits for it must not hold up those whom it may wait for.
            kept = self.filter(record)
            if kept:
                self.emit(record if kept is True else kept)
            return kept

        def emit(self, record):
            if erlang._is_forked():
                # As in a program that has set up nothing.
                if record.levelno >= logging.WARNING:
                    (basic if record.name == "root" else logging.lastResort).emit(record)
                return
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

    basic = type(logging.lastResort)()
    basic.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    root = logging.getLogger()
    # The log of the VM decides what is shown. Debugging is asked for by logger, as elsewhere.
    root.setLevel(logging.INFO)
    handler = Handler()
    root.addHandler(handler)
    _let_basic_config_be_asked(logging, root, handler)


#: What of ``basicConfig`` asks for handlers of one's own.
HANDLERS = ("filename", "stream", "handlers")

#: The text alone, in each style: the log of the VM has the rest.
TEXT = {"%": "%(message)s", "{": "{message}", "$": "${message}"}


def _let_basic_config_be_asked(logging, root, handler):
    """``basicConfig`` does nothing where there is a handler, and there is one from the start here: it stands for
    the one to the standard error that ``basicConfig`` would make."""
    original = logging.basicConfig
    done = False

    @functools.wraps(original)
    def basicConfig(**options):
        nonlocal done
        if done or root.handlers != [handler] or options.get("force"):
            return original(**options)
        own = any(options.get(name) is not None for name in HANDLERS)
        if not own:
            options["handlers"] = [handler]
            if options.get("format") is None:
                options["format"] = TEXT.get(options.get("style", "%"), TEXT["%"])
        root.removeHandler(handler)
        try:
            original(**options)
            done = True
        finally:
            if not done and not root.handlers:
                root.addHandler(handler)

    logging.basicConfig = basicConfig


def _redirect_warnings():
    import warnings

    def showwarning(message, category, filename, lineno, file=None, line=None):
        if file is not None or erlang._is_forked():
            return original(message, category, filename, lineno, file, line)
        text = "%s: %s" % (category.__name__, message)
        if text.endswith("was never awaited"):
            text = _with_hint(text)
        erlang.log(
            "warning",
            _text(text),
            logger="py.warnings",
            file=_text(filename),
            line=lineno,
            function="<module>",
        )

    original, warnings.showwarning = warnings.showwarning, showwarning


def _with_hint(text):
    try:
        from erlang import _hints

        return text if _hints._in_loop() else "%s. %s" % (text, _hints.AWAITED)
    except Exception:
        return text


def _text(value):
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
