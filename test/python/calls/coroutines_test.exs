defmodule Python.Calls.CoroutinesTest do
  # How a thread follows coroutines and asynchronous generators, which event loops set: it ends with the call, in pools.

  use Python.TestCase, async: true

  alias Python.TimeoutError

  setup_all do
    name =
      define("""
      class NAME:
          import asyncio, sys

          def boom(*args):
              raise ValueError("left behind")

          def leave(first=True, last=True, depth=5):
              NAME.sys.set_asyncgen_hooks(NAME.boom if first else None, NAME.boom if last else None)
              NAME.sys.set_coroutine_origin_tracking_depth(depth)

          def leave_loop():
              NAME.asyncio._set_running_loop(NAME.asyncio.new_event_loop())

          def leave_all():
              NAME.leave()
              NAME.leave_loop()
              raise KeyError("x")

          def late():
              NAME.leave()
              NAME.leave_loop()
              while True:
                  pass

          def items():
              NAME.leave()
              NAME.leave_loop()
              yield 1
              yield 2

          class Manager:
              def __enter__(self): NAME.leave()
              def __exit__(self, *error): pass

          def seen():
              hooks = NAME.sys.get_asyncgen_hooks()
              return [hooks.firstiter is not None, hooks.finalizer is not None,
                      NAME.sys.get_coroutine_origin_tracking_depth(), NAME.asyncio._get_running_loop() is not None]

          async def numbers():
              for n in range(3):
                  yield n

          async def total():
              return sum([n async for n in NAME.numbers()])

          def run():
              return NAME.asyncio.run(NAME.total())

          def runs(f):
              NAME.leave()
              return [f(), NAME.seen()]

          def spin():
              while True:
                  NAME.run()
      """)

    %{name: name}
  end

  # In pools of one worker, so that the next call is on the same thread: by workers, and by its caller.
  defp places, do: [[pool: start_pool()], [pool: start_pool(), timeout: :infinity]]

  defp ask(name, function, args, options) do
    options = Keyword.merge([timeout: 20_000], options)
    Python.call(:__main__, "#{name}.#{function}", args, options)
  end

  defp untouched(name, place) do
    assert ask(name, :seen, [], place) == {:ok, [false, false, 0, false]}
    assert ask(name, :run, [], place) == {:ok, 3}
  end

  test "the next call finds nothing of what one has set, whatever became of it", %{name: name} do
    for place <- places() do
      for args <- [[], [true, false, 0], [false, true, 0], [false, false, 1]] do
        assert {:ok, nil} = ask(name, :leave, args, place)
        untouched(name, place)
      end

      assert {:ok, nil} = ask(name, :leave_loop, [], place)
      untouched(name, place)
      assert {:error, %Python.Error{type: "KeyError"}} = ask(name, :leave_all, [], place)
      untouched(name, place)
      assert {:error, %TimeoutError{}} = ask(name, :late, [], pool: place[:pool], timeout: 100)
      eventually_idle(place[:pool])
      untouched(name, place)
      assert {:ok, [nil]} = Python.map(:__main__, "#{name}.leave", [[]], place)
      untouched(name, place)
      Python.exec!("#{name}.leave()", place)
      untouched(name, place)
      stream = Python.stream(:__main__, "#{name}.items", [], [max_chunk: 1] ++ place)
      assert Enum.take(stream, 1) == [1]
      eventually_idle(place[:pool])
      untouched(name, place)
    end
  end

  test "an event loop that is interrupted at any moment leaves none of it", %{name: name} do
    pool = start_pool()

    for _ <- 1..times(100, 2_000) do
      timeout = :rand.uniform(4)
      assert {:error, %TimeoutError{}} = ask(name, :spin, [], pool: pool, timeout: timeout)
      assert ask(name, :seen, [], pool: pool) == {:ok, [false, false, 0, false]}
    end

    untouched(name, pool: pool)
  end

  test "what a call from a function sets ends with that, and the outer one's comes back", %{
    name: name
  } do
    for place <- places() do
      inner = fn -> ask(name, :leave, [false, true, 2], place) && nil end

      assert ask(name, :runs, [inner], place) == {:ok, [nil, [true, true, 5, false]]}
      untouched(name, place)
    end
  end

  test "it is in force for the function of a with, and in a context", %{name: name} do
    pool = start_pool()
    manager = Python.call!(:__main__, "#{name}.Manager", [], pool: pool)
    seen = fn _ -> elem(ask(name, :seen, [], pool: pool), 1) end
    assert Python.with(manager, seen) == [true, true, 5, false]
    untouched(name, pool: pool)

    {:ok, context} = Python.Context.start_link()
    Python.exec!("import sys; sys.set_asyncgen_hooks(print); n = 1", context: context)
    assert Python.eval!("sys.get_asyncgen_hooks().firstiter is print", context: context)
  end

  test "nor does a finalizer leave any of it", %{name: name} do
    Python.exec!("""
    class #{name}_finalized:
        ended = []
        def __del__(self):
            self.ended.append(#{name}.seen())
            #{name}.leave()
    """)

    for _ <- 1..5, do: Python.call!(:__main__, "#{name}_finalized")
    :erlang.garbage_collect()
    ended = fn -> Python.eval!("#{name}_finalized.ended") end
    eventually("all are finalized", fn -> length(ended.()) == 5 end)
    assert Enum.uniq(ended.()) == [[false, false, 0, false]]
  end
end
