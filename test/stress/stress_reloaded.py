"""A module that is loaded again and again while it is used."""


def echo(n):
    return n
