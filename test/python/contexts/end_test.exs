defmodule Python.Contexts.EndTest do
  # What a context's objects find at its end is what they find at the end of a Python program: the same
  # code runs in both.
  use Python.EngineCase, async: true

  import Python.Notes

  alias Python.Context

  setup_all do: Python.SupportModules.find()

  # Each writes into `log`, which outlives the context, as plain Python's standard output does.
  @programs %{
    "a finalizer that uses an imported module" => """
    import os
    class File:
        def __del__(self): log(os.path.basename('a/b'))
    file = File()
    """,
    "one whose class and module come last" => """
    class Zed:
        def __del__(self): log(aaa.path.basename('a/b'), LIMIT, helper(2))
    first = Zed()
    import os as aaa
    LIMIT = 7
    def helper(n): return n * LIMIT
    second = Zed()
    """,
    "names that begin with an underscore" => """
    import os as _os
    _LIMIT = [1, 2]
    class _Private:
        def __del__(self): log(_os.sep, _LIMIT, sorted(_REGISTRY))
    _private = _Private()
    _REGISTRY = {'a': 1}
    """,
    "instances that hold each other" => """
    import os
    class Node:
        def __init__(self, name): self.name = name
        def __del__(self): log(self.name, self.other.name, os.sep)
    a, b = Node('a'), Node('b')
    a.other, b.other = b, a
    """,
    "instances in containers" => """
    import json
    class Item:
        def __init__(self, n): self.n = n
        def __del__(self): log(json.dumps({'n': self.n, 'of': len(NAMES)}))
    NAMES = ['x', 'y']
    items = {n: [Item(n)] for n in range(3)}
    """,
    "an instance in a closure" => """
    import os
    class Hidden:
        def __del__(self): log(os.sep, CONSTANT)
    CONSTANT = 'c'
    def make():
        hidden = Hidden()
        def use(): return hidden
        return use
    use = make()
    """,
    "an attribute of a class" => """
    import os
    class Connection:
        def __del__(self): log('closed', os.sep)
    class Model:
        connection = Connection()
    """,
    "a generator in the middle of a try" => """
    import os
    def generate():
        try: yield 1
        finally: log('left', os.sep, PLACE)
    PLACE = 'here'
    generator = generate()
    next(generator)
    """,
    "weakref.finalize" => """
    import os, weakref
    class Thing: pass
    def end(text): log(text, os.sep, NUMBER)
    NUMBER = 3
    thing = Thing()
    weakref.finalize(thing, end, 'first')
    other = Thing()
    weakref.finalize(other, end, 'second')
    """,
    "a finalizer that makes another object with one" => """
    import os
    class Second:
        def __del__(self): log('second', os.sep)
    class First:
        def __del__(self):
            log('first')
            Second()
    first = First()
    """,
    "a finalizer that raises" => """
    import os
    class Bad:
        def __del__(self):
            log('bad', os.sep)
            raise ValueError
    class Good:
        def __del__(self): log('good', os.sep)
    bad, good = Bad(), Good()
    """,
    "a subclass of a list, and slots" => """
    import os
    class Rows(list):
        def __del__(self): log('rows', len(self), os.sep)
    class Slots:
        __slots__ = ('x', '__weakref__')
        def __del__(self): log('slots', self.x.n, os.sep)
    class Holder: n = 5
    rows, slots = Rows([1, 2]), Slots()
    slots.x = Holder()
    """,
    "a metaclass, and a dataclass" => """
    import os
    from dataclasses import dataclass
    class Meta(type):
        def __call__(cls, *args): return super().__call__(*args)
    class Made(metaclass=Meta):
        def __del__(self): log('made', type(self).__name__, os.sep)
    @dataclass
    class Data:
        n: int
        def __del__(self): log('data', self.n, os.sep)
    made, data = Made(), Data(3)
    """,
    "one that an error is kept beside" => """
    import gc, os
    class Ring:
        def __init__(self, name): self.name, self.me = name, self
        def __del__(self): log(self.name, os.sep)
    def fail():
        local = Ring('local')
        raise ValueError
    try: fail()
    except ValueError as error: kept = error
    ring = Ring('global')
    gc.collect()
    """,
    "one in a generator, a coroutine, a frame and a module" => """
    import gc, os, sys, types
    class Ring:
        def __init__(self, name): self.name, self.me = name, self
        def __del__(self): log(self.name, os.sep)
    def generate():
        ring = Ring('generator')
        yield
    def frame():
        ring = Ring('frame')
        return sys._getframe()
    @types.coroutine
    def wait(): yield
    async def coroutine():
        ring = Ring('coroutine')
        await wait()
    generator, waiting, left = generate(), coroutine(), frame()
    next(generator)
    waiting.send(None)
    module = types.ModuleType('module')
    module.ring = Ring('module')
    gc.collect()
    """
  }

  # What it writes there, without order: that of a program is not promised.
  defp plain(program) do
    code = "def log(*values): print(*values, flush=True)\n" <> program
    {output, 0} = System.cmd(Python.Engines.python(), ["-c", code], stderr_to_stdout: false)
    output |> String.split("\n", trim: true) |> Enum.sort()
  end

  for {name, program} <- @programs do
    test "#{name} works as it does at the end of a program" do
      told = new_name()
      note = "import notes; notes.note(#{inspect(told)}, ' '.join(map(str, values)))"
      context = start_context()
      Python.exec!("def log(*values): #{note}\n" <> unquote(program), context: context)
      assert events(told) == []
      Context.stop(context)
      expected = plain(unquote(program))
      assert expected != []

      eventually("all has ended", fn -> length(events(told)) >= length(expected) end)
      assert Enum.sort(events(told)) == expected
    end
  end

  # Plain Python cannot import at its end; a VM goes on.
  test "a finalizer may import" do
    told = new_name()
    context = start_context()

    Python.exec!(
      """
      class Late:
          def __del__(self):
              import colorsys, notes
              from math import sqrt
              notes.note(#{inspect(told)}, '%s %g' % (colorsys.__name__, sqrt(16)))
      late = Late()
      """,
      context: context
    )

    Context.stop(context)
    eventually("it has run", fn -> events(told) == ["colorsys 4"] end)
  end

  test "a TemporaryDirectory is removed" do
    context = start_context()

    Python.exec!("import tempfile\nfolder = tempfile.TemporaryDirectory()", context: context)
    folder = Python.eval!("folder.name", context: context)
    assert File.dir?(folder)
    Context.stop(context)
    eventually("it is gone", fn -> not File.exists?(folder) end)
  end

  test "files with buffers are written" do
    path = Path.join(System.tmp_dir!(), unique("context_end"))
    on_exit(fn -> File.rm(path) end)
    context = start_context()
    Python.exec!("file = open(#{inspect(path)}, 'w')\nfile.write('all of it')", context: context)
    Context.stop(context)
    eventually("it is written", fn -> File.read(path) == {:ok, "all of it"} end)
  end

  test "objects die on the context's thread" do
    told = new_name()
    context = start_context()

    Python.exec!(
      """
      import notes, threading
      class Local:
          def __init__(self): self.me = self
          def __del__(self): notes.note(#{inspect(told)}, str(threading.get_ident()))
      local = Local()
      """,
      context: context
    )

    thread = Python.eval!("str(threading.get_ident())", context: context)
    Context.stop(context)
    eventually("it is dead", fn -> events(told) == [thread] end)
  end

  # Only there others can hold them: a process takes its objects along.
  @tag engine: :main
  test "what others hold stays whole, and has lost its names" do
    context = start_context()

    Python.exec!(
      """
      import os
      class Held:
          def separator(self): return os.sep
          def number(self): return 5
      def function(): return os.sep
      held = Held()
      """,
      context: context
    )

    held = Python.eval!("held", %{}, return: :object, context: context)
    ask = fn method -> Python.eval("held.#{method}()", %{held: held}, pool: Python.Pool) end
    assert ask.("separator") == {:ok, "/"}
    Context.stop(context)

    eventually("its names are gone", fn ->
      match?({:error, %Python.Error{type: "NameError"}}, ask.("separator"))
    end)

    assert ask.("number") == {:ok, 5}
  end

  # That of a process goes with it.
  @tag engine: :main
  test "its objects do not stay in memory" do
    seen = define("import weakref\nNAME = weakref.WeakSet()")
    list = Python.eval!(seen, %{}, return: :object)

    for _ <- 1..20 do
      context = start_context()

      Python.exec!(
        """
        class Node:
            def __init__(self): self.me = self
            def method(self): return Node
        nodes = [Node() for _ in range(100)]
        """,
        context: context
      )

      Python.eval!("[seen.add(node) for node in nodes]", %{seen: list}, context: context)
      Context.stop(context)
    end

    eventually("all are gone", fn -> Python.eval!("len(#{seen})") == 0 end)
  end

  # They share a collector there.
  @tag engine: :main
  test "many that end at the same time find what they use, whichever thread collects garbage" do
    log = Python.to_object!([])

    code = """
    import os, time
    class Node:
        def __init__(self): self.me = [self]
        def __del__(self):
            # Nobody else collects meanwhile.
            time.sleep(0.002)
            try: log.append(helper(os.sep))
            except BaseException as error: log.append(repr(error))
    def helper(text): return text * 2
    nodes = [Node()]
    nodes.append(nodes)
    """

    1..100
    |> Task.async_stream(
      fn _ ->
        context = start_context()
        Python.exec!("def keep(l):\n    global log\n    log = l", context: context)
        Python.call!(:__main__, :keep, [log], context: context)
        Python.exec!(code, context: context)
        Context.stop(context)
      end,
      max_concurrency: 100,
      timeout: 60_000
    )
    |> Stream.run()

    eventually("all are gone", fn -> Python.len!(log) == 100 end)
    assert Enum.uniq(Python.to_term!(log)) == ["//"]
  end
end
