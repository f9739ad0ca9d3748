"""The classes that are native to the package ``erlang``, and what can be done to them to get an instance
that nobody has made. Whatever comes of it, the VM lives."""

import copy
import copyreg
import gc
import operator
import pickle
import sys
import types
import weakref

KNOWN = {}


def classes():
    """All of them, so that a new one is tried by itself."""
    found = {}
    for cls in _subclasses(object):
        if cls.__module__ == "erlang" and not issubclass(cls, BaseException) and not any(
            isinstance(value, types.FunctionType) for value in type.__getattribute__(cls, "__dict__").values()
        ):
            found[cls.__name__] = cls
    return found


def _subclasses(cls):
    for sub in type.__subclasses__(cls):
        yield sub
        if type not in sub.__mro__:
            yield from _subclasses(sub)


async def caught(function):
    import erlang

    try:
        await function()
    except erlang.Error as error:
        return error._original


async def of_loop(function):
    """What is native to the event loops of pools: found by what refers to it."""
    import asyncio

    import erlang

    loop = asyncio.get_running_loop()
    awaited = function()
    found = [
        asyncio.current_task().get_coro(),
        erlang.on_interrupt(lambda: None),
        _find(loop, "_Loop"),
        _find(awaited, "_Ended"),
    ]
    awaited.cancel()
    return found


def _find(root, name):
    """The nearest object of that class that an object leads to."""
    seen, nearest = set(), [root]
    while nearest:
        for one in nearest:
            if type(one).__name__ == name:
                return one
        seen.update(map(id, nearest))
        nearest = [
            one for one in gc.get_referents(*nearest) if id(one) not in seen and not isinstance(one, types.ModuleType)
        ]
    raise LookupError(name)


def remember(instances):
    """An instance of each, made as they are meant to be made."""
    for instance in instances:
        if isinstance(instance, memoryview):
            instance = instance.obj
        # The instances of `_Function` are of a subclass that is written in Python.
        native = next((cls for cls in type(instance).__mro__ if cls.__name__ in classes()), type(instance))
        KNOWN[native.__name__] = instance
    return sorted(KNOWN)


def names():
    return sorted(classes())


def make(name):
    """Instances of a class that come about in other ways than its own."""
    cls = classes()[name]
    made = []
    for way in WAYS:
        try:
            instance = way(cls)
        except Exception:
            continue
        if type(instance) is cls and instance is not KNOWN.get(name):
            made.append(instance)
    return made


def _reduced(protocol):
    def way(cls):
        function, arguments = KNOWN[cls.__name__].__reduce_ex__(protocol)[:2]
        return function(*arguments)

    return way


def _without_its_own_new(cls):
    """A class of the heap can be changed, and then ``object.__new__`` makes an instance of it."""
    original = cls.__new__
    cls.__new__ = lambda cls, *args: object.__new__(cls)
    try:
        return cls()
    finally:
        cls.__new__ = original


def _with_no_new(cls):
    original = cls.__new__
    del cls.__new__
    try:
        return cls()
    finally:
        cls.__new__ = original


def _with_other_bases(cls):
    other = type("Other", (), {"__slots__": (), "__new__": lambda cls: object.__new__(cls)})
    cls.__bases__ = (other,)
    try:
        del cls.__new__
        return cls()
    finally:
        cls.__bases__ = (object,)


def _subclass(cls):
    return object.__new__(type("Sub", (cls,), {}))


def _of_another_class(cls):
    class Other:
        __slots__ = ()

    other = Other()
    other.__class__ = cls
    return other


def _of_another_of_these(cls):
    for instance in KNOWN.values():
        original = instance.__class__
        try:
            instance.__class__ = cls
        except TypeError:
            continue
        instance.__class__ = original
        raise AssertionError("an instance of %r became one of %r" % (original, cls))


WAYS = [
    lambda cls: cls(),
    lambda cls: cls(None),
    lambda cls: cls.__new__(cls),
    lambda cls: object.__new__(cls),
    lambda cls: object.__reduce_ex__(KNOWN[cls.__name__], 2)[0](cls),
    lambda cls: copyreg.__newobj__(cls),
    lambda cls: copyreg._reconstructor(cls, object, None),
    lambda cls: copy.copy(KNOWN[cls.__name__]),
    lambda cls: copy.deepcopy(KNOWN[cls.__name__]),
    lambda cls: pickle.loads(pickle.dumps(KNOWN[cls.__name__])),
    *[_reduced(protocol) for protocol in range(6)],
    _subclass,
    _of_another_class,
    _of_another_of_these,
    _without_its_own_new,
    _with_no_new,
    _with_other_bases,
]

# What asks an object for something, by its class's slots.
ASKS = [
    repr, str, hash, bool, len, iter, next, bytes, bytearray, int, float, complex, abs, dir, vars, memoryview,
    operator.index, operator.neg, sys.getsizeof, weakref.ref, copy.copy, copy.deepcopy, reversed, list, dict,
    pickle.dumps, gc.get_referents, gc.get_referrers, gc.is_tracked, callable, format, ascii, type, id,
]  # fmt: skip

PAIRS = [
    operator.eq, operator.ne, operator.lt, operator.le, operator.add, operator.mul, operator.getitem,
    operator.contains, operator.delitem, operator.and_, operator.iadd, operator.matmul, divmod, isinstance,
]  # fmt: skip


def use(instance):
    """Everything that can be asked of an instance. Returns how much of it gave an answer."""
    answers = 0
    known = KNOWN.get(type(instance).__name__)
    others = [instance, None, 1, "x", *KNOWN.values()]
    for ask in ASKS:
        answers += _try(ask, instance)
    for pair in PAIRS:
        for other in others:
            answers += _try(pair, instance, other) + _try(pair, other, instance)
    for name in dir(type(instance)):
        if name in ("__class__", "__init_subclass__", "__subclasshook__"):
            continue
        answers += _try(getattr, instance, name)
        for args in [(), (None,), (instance,), (known,), (1, 2), ({},), ("x",)]:
            answers += _try(lambda: getattr(instance, name)(*args))
            answers += _try(lambda: getattr(type(instance), name)(instance, *args))
            answers += _try(lambda: getattr(type(instance), name)(*args))
    answers += _try(instance.__init__) + _try(setattr, instance, "x", 1)
    return answers


def _try(function, *args):
    try:
        function(*args)
        return 1
    except Exception:
        return 0
