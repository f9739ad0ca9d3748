"""Ways to recurse without end, for recursion_test.exs. Each function is one."""

import functools
import itertools
import json
import sys


def function():
    def f(n):
        return f(n + 1)

    f(0)


def getattr_of_getattr():
    class A:
        def __getattr__(self, name):
            return getattr(self, name + "x")

    A().x


def getattribute():
    class A:
        def __getattribute__(self, name):
            return self.y

    A().x


def setattr_():
    class A:
        def __setattr__(self, name, value):
            setattr(self, name, value)

    A().x = 1


def property_():
    class A:
        @property
        def x(self):
            return self.x

    A().x


def descriptor():
    class D:
        def __get__(self, instance, owner):
            return instance.x

    class A:
        x = D()

    A().x


def sort_key():
    def key(x):
        return sorted([1, 2, 3], key=key)

    key(1)


def sort_comparison():
    class A:
        def __lt__(self, other):
            return sorted([A(), A()])

    sorted([A(), A()])


def max_key():
    def key(x):
        return max([1, 2], key=key)

    key(1)


def map_():
    def f(x):
        return list(map(f, [1]))

    f(1)


def reduce_():
    def f(a, b):
        return functools.reduce(f, [1, 2])

    f(1, 2)


def partial():
    def f(n):
        return functools.partial(f, n + 1)()

    f(0)


def lru_cache():
    @functools.lru_cache(maxsize=None)
    def f(n):
        return f(n + 1)

    f(0)


def chain():
    def f():
        return list(itertools.chain.from_iterable(f() for _ in [1]))

    f()


def call():
    class A:
        def __call__(self):
            return self()

    A()()


def init():
    class A:
        def __init__(self):
            A()

    A()


def new():
    class A:
        def __new__(cls):
            return cls()

    A()


def metaclass():
    class Meta(type):
        def __call__(cls):
            return cls()

    class A(metaclass=Meta):
        pass

    A()


def subclass():
    class A:
        def __init_subclass__(cls):
            class B(A):
                pass

    class C(A):
        pass


def eq():
    class A:
        def __eq__(self, other):
            return self == other

    A() == A()


def eq_in_set():
    class A:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            return {A()} == {A()}

    A() == A()


def hash_():
    class A:
        def __hash__(self):
            return hash(self)

    hash(A())


def getitem():
    class A:
        def __getitem__(self, key):
            return self[key]

    A()[1]


def missing():
    class A(dict):
        def __missing__(self, key):
            return self[key]

    A()[1]


def iter_():
    class A:
        def __iter__(self):
            return iter(self)

    iter(A())


def add():
    class A:
        def __add__(self, other):
            return sum([A(), A()], A())

    A() + A()


def bool_():
    class A:
        def __bool__(self):
            return bool(self)

    bool(A())


def repr_():
    class A:
        def __repr__(self):
            return repr(self)

    repr(A())


def format_():
    class A:
        def __format__(self, spec):
            return f"{self}"

    f"{A()}"


def eval_():
    def f(n):
        return eval("f(n + 1)", {"f": f, "n": n})

    f(0)


def exec_():
    def f(n):
        exec("f(n + 1)", {"f": f, "n": n})

    f(0)


def generator():
    def g(n):
        yield from g(n + 1)

    list(g(0))


def generator_loop():
    def g(n):
        for x in g(n + 1):
            yield x

    list(g(0))


def comprehension():
    def f(n):
        return [f(x) for x in [n]]

    f(1)


def coroutine():
    async def f(n):
        await f(n + 1)

    f(0).send(None)


def context_manager():
    import contextlib

    @contextlib.contextmanager
    def c():
        with c():
            yield

    with c():
        pass


def import_():
    import importlib.abc
    import sys

    class Finder(importlib.abc.MetaPathFinder):
        count = 0

        def find_spec(self, name, path, target=None):
            Finder.count += 1
            __import__("no_such_module_%d" % Finder.count)

    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        __import__("no_such_module")
    finally:
        sys.meta_path.remove(finder)


def regular_expression():
    import re

    def f(match):
        return re.sub("a", f, "a")

    re.sub("a", f, "a")


def instance_check():
    class Meta(type):
        def __instancecheck__(cls, instance):
            return isinstance(instance, cls)

    class A(metaclass=Meta):
        pass

    isinstance(1, A)


def enum_missing():
    import enum

    class E(enum.Enum):
        A = 1

        @classmethod
        def _missing_(cls, value):
            return E(value)

    E(5)


def json_default():
    class A:
        pass

    def default(x):
        return json.dumps(A(), default=default)

    json.dumps(A(), default=default)


def expat():
    import xml.parsers.expat

    def element(*_):
        parser = xml.parsers.expat.ParserCreate()
        parser.StartElementHandler = element
        parser.Parse("<a/>", True)

    element()


def codec():
    import codecs

    def error(exception):
        "\udc80".encode("ascii", "recursive")

    codecs.register_error("recursive", error)
    "\udc80".encode("ascii", "recursive")


def thread():
    import threading

    caught = []

    def work():
        try:
            sort_key()
        except BaseException as exception:
            caught.append(exception)

    t = threading.Thread(target=work)
    t.start()
    t.join()
    raise caught[0]


def thread_function():
    import threading

    caught = []

    def work():
        try:
            getattr_of_getattr()
        except BaseException as exception:
            caught.append(exception)

    t = threading.Thread(target=work)
    t.start()
    t.join()
    raise caught[0]


# What is nested deeper than anything can follow.

DEEP = 100_000

#: For what recurses in C: up to 3.13 levels are counted, from 3.14 on they go on to the end of the stack.
DEEP_IN_C = DEEP if sys.version_info < (3, 14) else 1_000_000


def nested_list(depth=DEEP_IN_C):
    made = []
    for _ in range(depth):
        made = [made]
    return made


def nested_slice(depth=DEEP_IN_C):
    """Something whose repr takes a time that grows no faster than its depth does: a list's looks at all
    the lists around it."""
    made = slice(0)
    for _ in range(depth):
        made = slice(made)
    return made


def nested_dict(depth=DEEP):
    made = {}
    for _ in range(depth):
        made = {"a": made}
    return made


def deep_repr():
    repr(nested_slice())


def deep_repr_of_dict():
    repr(nested_dict())


def deep_eq():
    nested_list() == nested_list()


def deep_json():
    json.dumps(nested_list())


def deep_json_text():
    json.loads("[" * DEEP_IN_C)


def deep_copy():
    import copy

    copy.deepcopy(nested_list())


def deep_pickle():
    import pickle

    pickle.dumps(nested_list())


def deep_marshal():
    import marshal

    marshal.dumps(nested_list())


def deep_exception():
    made = ValueError()
    for _ in range(DEEP_IN_C):
        made = ValueError(made)
    str(made)


def deep_isinstance():
    made = (int,)
    for _ in range(DEEP_IN_C):
        made = (made,)
    isinstance("", made)


def deep_parentheses():
    compile("(" * DEEP + ")" * DEEP, "", "eval")


def deep_minus():
    compile("-" * DEEP + "1", "", "eval")


def deep_attributes():
    compile("x" + ".a" * DEEP, "", "eval")


def deep_calls():
    compile("f" + "()" * DEEP, "", "eval")


def deep_lambdas():
    compile("lambda:" * DEEP + "1", "", "eval")


def deep_literal():
    import ast

    ast.literal_eval("-" * DEEP + "1")


def deep_regular_expression():
    import re

    re.compile("(" * 5_000 + ")" * 5_000)


def deep_xml():
    import xml.etree.ElementTree

    root = xml.etree.ElementTree.fromstring("<a>" * DEEP + "</a>" * DEEP)
    xml.etree.ElementTree.tostring(root)


#: Those that end in another exception than RecursionError, at least in some versions: a parser has
#: limits of its own.
OTHERS = (
    "deep_parentheses",
    "deep_minus",
    "deep_attributes",
    "deep_calls",
    "deep_lambdas",
    "deep_literal",
    "deep_marshal",
)


class Recursive:
    """An object that recurses wherever Python looks at it."""

    def __repr__(self):
        return repr(self)

    def __str__(self):
        return str(self)

    def __iter__(self):
        return iter(self)

    def __getattr__(self, name):
        return getattr(self, name + "x")


class RecursiveIterator:
    def __iter__(self):
        return self

    def __next__(self):
        return next(self)


class RecursiveEnd:
    """An object that recurses when it goes."""

    ended = 0

    def __del__(self):
        RecursiveEnd.ended += 1
        sort_key()


def generate(n):
    yield n
    yield function()
