"""What the comparison with other libraries asks of Python. It imports none of them."""


def echo(value):
    return value


def numbers(count):
    yield from range(count)


def compute(count):
    total = 0
    for number in range(count):
        total += number
    return total


def fail():
    return inner({})


def inner(found):
    return found["missing"]


def send(function, count):
    """Calls the function, which sends a message, so many times."""
    for number in range(count):
        function(number)
    return count
