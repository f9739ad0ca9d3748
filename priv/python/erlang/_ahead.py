"""Where a thread would be interrupted that is interrupted now: for CPython 3.14.

There ``with`` calls ``__enter__`` as any function is called, and an interrupt takes effect at the end of a
call: after the lock was taken, and before the block is entered that gives it back. Other versions have no
interrupts between the two.

It is not enough to look whether a thread is at such a call. A thread that is asked to let others run has
already looked for interrupts, and finds one that comes meanwhile only at the next bytecode that looks. So
what matters is where that may be, for each place where a thread may be. The interrupter cannot find out by
Python code, as the thread would go on meanwhile: it is written down here for the whole of a code object.

What is not followed is an exception. A call that fails does not look for interrupts, and its handler may be
a ``with`` block; but a thread that waits in such a call most of the time could never be interrupted then.
"""

import sys

NEEDED = (3, 14) <= sys.version_info < (3, 15)

#: Bits for each bytecode. A thread that is at this one, or in a function that it calls, may
#: - be interrupted next between the taking of a lock and the block of its ``with``,
LOCKED_FROM_HERE = 1
#: - the same, once the function that this one calls has returned,
LOCKED_AFTER_CALL = 2
#: - leave the frame before it looks for an interrupt.
LEAVES = 4

_LEAVE = {"RETURN_VALUE", "YIELD_VALUE"}
_NEVER_GO_ON = _LEAVE | {"RAISE_VARARGS", "RERAISE", "RETURN_GENERATOR"}
_JUMPS = {"JUMP_FORWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_BACKWARD"}


def examine(code):
    """What is ahead of each bytecode of ``code``: a byte for each two of its bytes."""
    # Not before it is needed: it would delay every start.
    import dis

    instructions = list(dis.Bytecode(code))
    at = {instruction.offset: index for index, instruction in enumerate(instructions)}
    entering = _entering(instructions)
    followers = [_followers(instructions, index, at) for index in range(len(instructions))]
    reached = _reached(instructions, entering, followers)
    flags = bytearray(len(code.co_code) // 2)
    for index, instruction in enumerate(instructions):
        after = 0
        for follower in followers[index]:
            after |= reached[follower]
        if instruction.opname in _LEAVE:
            after |= LEAVES
        found = after & LEAVES
        if after & LOCKED_FROM_HERE:
            found |= LOCKED_FROM_HERE | LOCKED_AFTER_CALL
        if index in entering:
            found |= LOCKED_FROM_HERE
        flags[instruction.offset // 2] = found
    return bytes(flags)


def _entering(instructions):
    """The calls of ``__enter__``: no other call follows the look-up of a special method at once."""
    return {
        index
        for index, instruction in enumerate(instructions)
        if instruction.opname == "CALL" and index and instructions[index - 1].opname == "LOAD_SPECIAL"
    }


def _followers(instructions, index, at):
    instruction = instructions[index]
    followers = []
    if instruction.jump_target is not None:
        followers.append(at[instruction.jump_target])
    if instruction.opname not in _NEVER_GO_ON | _JUMPS and index + 1 < len(instructions):
        followers.append(index + 1)
    return followers


def _looks(instruction):
    """Whether a thread certainly looks for interrupts here, or in the function that is called."""
    name, argument = instruction.opname, instruction.arg
    if name == "CALL":
        # Calls of ``len``, ``isinstance`` and ``list.append`` do not: they have one argument or two.
        return argument not in (1, 2)
    if name == "RESUME":
        # Not when a generator goes on within ``yield from`` or ``await``.
        return argument & 3 < 2
    return name in ("CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD")


def _reached(instructions, entering, followers):
    """What may come of a thread that goes on from each instruction, until it looks for interrupts."""
    reached = [0] * len(instructions)
    changed = True
    while changed:
        changed = False
        # Backwards, as nearly all goes forwards: one round finds nearly everything.
        for index in reversed(range(len(instructions))):
            instruction = instructions[index]
            if index in entering:
                found = LOCKED_FROM_HERE
            elif instruction.opname in _LEAVE:
                found = LEAVES
            elif _looks(instruction):
                found = 0
            else:
                found = 0
                for follower in followers[index]:
                    found |= reached[follower]
            if found != reached[index]:
                reached[index] = found
                changed = True
    return reached
