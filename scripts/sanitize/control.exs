# What AddressSanitizer has to report: a list that says that it holds more than it has room for, so that its
# conversion takes what lies behind for an element. The argument is the engine that converts it.
[engine] = System.argv()
{:ok, _} = Python.Pool.start_link(name: Control, size: 1, engine: String.to_existing_atom(engine))

:ok =
  Python.exec(
    """
    import ctypes

    word = ctypes.sizeof(ctypes.c_ssize_t)
    forged = [1, 2, 3, 4]
    # At the end of a list's fields: ob_size, ob_item, allocated.
    fields = id(forged) + list.__basicsize__
    size = ctypes.c_ssize_t.from_address(fields - 3 * word)
    room = ctypes.c_ssize_t.from_address(fields - word)
    size.value = room.value + 1
    """,
    pool: Control
  )

IO.inspect(Python.eval("forged", pool: Control), label: "its answer")
