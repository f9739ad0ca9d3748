"""The same for ErlPort, whose functions for Python are in a module of its own."""

from bench_peers import numbers
from erlport.erlang import call, cast
from erlport.erlterms import Atom


def call_back(count):
    for number in range(count):
        call(Atom(b"Elixir.Function"), Atom(b"identity"), [number])
    return count


def send(pid, count):
    for number in range(count):
        cast(pid, number)
    return count


def stream(pid, count):
    for number in numbers(count):
        cast(pid, number)
    return count
