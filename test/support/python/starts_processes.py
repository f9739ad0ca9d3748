"""What libraries do that start processes. Given to them by name, as the processes import it."""

import os


def square(x):
    return x * x


def leave_number(prefix):
    with open(prefix + str(os.getpid()), "w"):
        pass
    return os.getpid() != 0


def joblib_default():
    import joblib

    return joblib.Parallel(n_jobs=2)(joblib.delayed(square)(n) for n in range(4))


def joblib_workers(prefix):
    import joblib

    return joblib.Parallel(n_jobs=2)(joblib.delayed(leave_number)(prefix) for n in range(4))


def pexpect_talks():
    import pexpect

    child = pexpect.spawn("cat", timeout=20)
    child.sendline("hello")
    child.expect("hello")
    child.close()
    return pexpect.run("echo hi").decode().strip()


def pool_of(name):
    package = __import__(name)
    with package.Pool(2) as pool:
        return package.get_start_method(), pool.map(square, [1, 2, 3])


def fork_of(name):
    package = __import__(name)
    package.get_context("fork").Process(target=print).start()


def gevent_runs():
    import gevent.subprocess

    return gevent.subprocess.check_output(["echo", "hi"]).decode().strip()


def gevent_patched():
    import gevent.monkey

    gevent.monkey.patch_all()
    import subprocess

    return subprocess.run(["echo", "hi"], stdout=subprocess.PIPE).stdout.decode().strip()


def kill_children():
    """As test suites and servers tidy up."""
    import psutil

    refused = 0
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except RuntimeError:
            refused += 1
    return refused


def decompose():
    import numpy

    # However fast the machine is, it is at work when its time is over.
    while True:
        numpy.linalg.svd(numpy.random.rand(1500, 1500))
