"""Processes of every kind that Python code may leave behind."""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import time

LONG = "1000"


def children():
    subprocess.Popen(["sleep", LONG])
    subprocess.Popen(["sh", "-c", "sleep %s & sleep %s" % (LONG, LONG)])
    subprocess.Popen(["sleep", LONG], start_new_session=True)
    # It minds nothing that can be minded.
    subprocess.Popen(["sh", "-c", "trap '' HUP INT TERM; sleep %s & wait" % LONG])


def daemon():
    """By a double fork, with a child of its own."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            if os.fork() == 0:
                os.setpgid(0, 0)
            time.sleep(float(LONG))
        os._exit(0)
    os.waitpid(child, 0)


def by_multiprocessing(method):
    multiprocessing.get_context(method).Process(target=time.sleep, args=(float(LONG),)).start()


def hold_the_gil():
    ctypes.PyDLL(None).sleep(int(LONG))


def ignore_signals():
    import signal

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(float(LONG))
        except BaseException:
            pass
