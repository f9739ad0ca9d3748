"""Perfect numbers are the sum of their proper divisors: 6 = 1 + 2 + 3."""

import itertools


def divisors(number):
    for divisor in range(1, number // 2 + 1):
        if number % divisor == 0:
            yield divisor


def odd():
    """The smallest odd perfect number. Nobody has found one yet, so this takes a while."""
    for number in itertools.count(1, 2):
        if sum(divisors(number)) == number:
            return number
