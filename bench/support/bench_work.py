"""What the benchmarks ask of Python."""

import time


def identity(value):
    return value


def time_calls(function, calls):
    """The ns that the calls take in here."""
    start = time.perf_counter_ns()
    for call in calls:
        function(*call)
    return time.perf_counter_ns() - start


def time_list(count):
    start = time.perf_counter_ns()
    list(numbers(count))
    return time.perf_counter_ns() - start


def time_sleep(seconds):
    start = time.perf_counter_ns()
    time.sleep(seconds)
    return time.perf_counter_ns() - start


def numbers(count):
    for number in range(count):
        yield number


def slow_clock(count, pause):
    """When each item was made, in ns since 1970."""
    for _ in range(count):
        time.sleep(pause)
        yield time.time_ns()


def call_back(function, count):
    for number in range(count):
        function(number)
    return count


def send_each(pid, count):
    import erlang

    send = erlang.send
    for number in range(count):
        send(pid, number)
    return count


def time_send(pid, count):
    start = time.perf_counter_ns()
    send_each(pid, count)
    return time.perf_counter_ns() - start


def time_appends(count):
    append = [].append
    start = time.perf_counter_ns()
    for number in range(count):
        append(number)
    return time.perf_counter_ns() - start


def fail(number):
    return divide(1, number)


def divide(number, by):
    return number / by


def fail_again(number):
    try:
        return fail(number)
    except ZeroDivisionError as error:
        raise ValueError("no number") from error


spinning = False


def spin():
    """Keeps a thread busy until `stop()`."""
    rounds = 0
    while spinning:
        rounds += 1
    return rounds > 0


def start():
    global spinning
    spinning = True


def stop():
    global spinning
    spinning = False


def sum_to(count):
    """Bytecode that never lets go of the interpreter for long."""
    total = 0
    for number in range(count):
        total += number
    return total
