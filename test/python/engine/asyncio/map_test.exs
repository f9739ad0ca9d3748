defmodule Python.Engine.Asyncio.MapTest do
  # A map of a plain function: the loop goes on between its calls.
  use Python.LoopCase, async: false

  alias Python.{Error, Pool, TimeoutError}

  setup do
    name =
      define("""
      import asyncio, sys, time

      class NAME:
          made = []
          order = []

          def takes(n):
              time.sleep(0.005)
              NAME.order.append("map")
              return n * 2

          async def other():
              NAME.order.append("other")

          def fails_at(n, at):
              time.sleep(0.003)
              if n == at:
                  raise ValueError("at %d" % n)
              return n

          def mixed(n):
              time.sleep(0.003)
              if n % 2:
                  return n
              async def later():
                  try:
                      await asyncio.sleep(0.001)
                      return -n
                  finally:
                      NAME.made.append(n)
              return later()

          def keeps(n):
              time.sleep(0.003)
              NAME.made.append(n)

          def spins(n):
              time.sleep(0.005)
              while n == 3: pass
              return n

          def where(n):
              time.sleep(0.005)
              return sys._getframe(1).f_globals["__name__"]
      """)

    {:ok, map: name, pool: start_loop()}
  end

  defp map(name, function, args, pool, options \\ []) do
    Python.map(:__main__, "#{name}.#{function}", args, [pool: pool] ++ options)
  end

  test "other calls run between its calls", %{map: name, pool: pool} do
    task = Task.async(fn -> map(name, :takes, for(n <- 1..100, do: [n]), pool) end)

    answers =
      Stream.repeatedly(fn -> Python.call(:__main__, "#{name}.other", [], pool: pool) end)
      |> Enum.take_while(fn {:ok, nil} -> Task.yield(task, 0) == nil end)

    # It may have ended with the last one of these.
    order = Python.eval!("#{name}.order")
    assert Enum.count(order, &(&1 == "map")) == 100
    assert answers != []
    between = order |> Enum.dedup() |> Enum.count(&(&1 == "other"))
    assert between > 10
    eventually_no_tasks(pool)
  end

  test "gives all results in order, also those that are awaited", %{map: name, pool: pool} do
    args = for n <- 1..50, do: [n]
    assert map(name, :takes, args, pool) == {:ok, for(n <- 1..50, do: n * 2)}

    assert map(name, :mixed, args, pool) ==
             {:ok, for(n <- 1..50, do: if(rem(n, 2) == 1, do: n, else: -n))}

    assert {:ok, objects} = map(name, :takes, args, pool, return: :object)
    assert Enum.map(objects, &Python.to_term!/1) == for(n <- 1..50, do: n * 2)
    assert map(name, :takes, [], pool) == {:ok, []}
  end

  test "stops at the first that fails, and names it", %{map: name, pool: pool} do
    args = for n <- 0..49, do: [n, 30]

    assert {:error, %Error{type: "ValueError", message: message}} =
             map(name, :fails_at, args, pool)

    assert message =~ "at 30"
    eventually_no_tasks(pool)

    # What was to be awaited of the others is closed, and was never begun.
    code =
      "def #{name}_half(n):\n  if n == 30: raise ValueError('half')\n  return #{name}.mixed(n)"

    Python.exec!(code)

    assert {:error, %Error{type: "ValueError"}} =
             Python.map(:__main__, "#{name}_half", for(n <- 0..49, do: [n]), pool: pool)

    assert Python.eval!("#{name}.made") == []
    eventually_no_tasks(pool)
  end

  test "ends at its timeout, between two calls and within one", %{map: name, pool: pool} do
    args = for n <- 1..10_000, do: [n]
    assert {:error, %TimeoutError{}} = map(name, :keeps, args, pool, timeout: 100)
    eventually_no_tasks(pool)
    made = Python.eval!("len(#{name}.made)")
    assert made < 10_000
    assert Python.eval!("len(#{name}.made)") == made

    assert {:error, %TimeoutError{}} =
             map(name, :spins, for(n <- 1..10, do: [n]), pool, timeout: 200)

    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    assert %{workers: 1, stuck: 0} = Pool.stats(pool)
  end

  test "its calls stand in __main__, all of them", %{map: name, pool: pool} do
    assert map(name, :where, for(n <- 1..20, do: [n]), pool) ==
             {:ok, List.duplicate("__main__", 20)}
  end

  test "works in a context, with its names", %{map: name} do
    {:ok, context} = Python.Context.start_link(engine: :asyncio)

    Python.exec!("import time\nown = 5\ndef add(n):\n  time.sleep(0.003)\n  return n + own",
      context: context
    )

    assert Python.map(:__main__, :add, for(n <- 1..20, do: [n]), context: context) ==
             {:ok, Enum.to_list(6..25)}

    code = "own + 1"

    assert Python.map(:builtins, :eval, for(_ <- 1..3, do: [code]), context: context) ==
             {:ok, [6, 6, 6]}

    assert is_binary(name)
    Python.Context.stop(context)
  end
end
