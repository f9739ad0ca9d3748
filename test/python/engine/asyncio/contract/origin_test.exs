defmodule Python.Engine.Asyncio.Contract.OriginTest do
  # Whose call it is: of a task, of the tasks that it starts, of callbacks of the loop.
  use Python.LoopCase, async: true

  import ExUnit.CaptureLog

  setup do
    {:ok, pool: start_loop()}
  end

  @ways [
    here: "see()",
    awaited: "await coroutines.answer(see())",
    task: "await asyncio.ensure_future(later(see))",
    task_of_task: "await asyncio.ensure_future(outer(see))",
    gathered: "(await asyncio.gather(later(see), later(see)))[1]",
    callback: "await called(lambda f: loop.call_soon(f), see)",
    timer: "await called(lambda f: loop.call_later(0.005, f), see)",
    done:
      "await called(lambda f: asyncio.ensure_future(later(int)).add_done_callback(lambda _: f()), see)",
    threadsafe: "await called(lambda f: loop.call_soon_threadsafe(f), see)",
    generator: "[n async for n in items(see)][0]",
    waited: "await asyncio.wait_for(later(see), 10)"
  ]

  # What a function gives in each of those ways.
  defp seen(see, options) do
    ways = for {name, code} <- @ways, do: "    found[#{inspect("#{name}")}] = #{code}\n"

    function =
      define("""
      import asyncio, contextvars

      async def later(see):
          await asyncio.sleep(0.001)
          return see()

      async def outer(see):
          return await asyncio.ensure_future(later(see))

      async def items(see):
          await asyncio.sleep(0.001)
          yield see()

      async def called(call, see):
          future = asyncio.get_running_loop().create_future()
          call(lambda: future.set_result(see()))
          return await future

      async def NAME(value):
          loop = asyncio.get_running_loop()
          found = {}
          see = lambda: #{see}
      #{ways}
          return found
      """)

    &Python.call_async(:__main__, function, [&1], options)
  end

  test "erlang.self is the process that made the call", %{pool: pool} do
    call = seen("erlang.self()", pool: pool)

    1..20
    |> Enum.map(fn _ -> Task.async(fn -> {self(), Python.await(call.(nil))} end) end)
    |> Task.await_many(60_000)
    |> Enum.each(fn {pid, {:ok, found}} ->
      for {name, seen} <- found, do: assert({name, seen} == {name, pid})
      assert map_size(found) == length(@ways)
    end)
  end

  @tag python: "3.9"
  test "erlang.self is right in threads that a task is given", %{pool: pool} do
    code = "await __import__('asyncio').to_thread(erlang.self)"
    assert Python.eval(code, pool: pool) == {:ok, self()}
  end

  test "print comes out at the group leader of the call, of whatever is interleaved", %{
    pool: pool
  } do
    call = seen("print(value)", pool: pool)

    1..20
    |> Enum.map(fn n ->
      Task.async(fn ->
        {:ok, device} = StringIO.open("")
        Process.group_leader(self(), device)
        {:ok, _} = Python.await(call.("line #{n}"))
        {n, device}
      end)
    end)
    |> Task.await_many(60_000)
    |> Enum.each(fn {n, device} ->
      # One is gathered twice.
      expected = String.duplicate("line #{n}\n", length(@ways) + 1)

      eventually("all lines of #{n} are there", fn ->
        {_, text} = StringIO.contents(device)
        byte_size(text) >= byte_size(expected)
      end)

      assert {_, ^expected} = StringIO.contents(device)
    end)
  end

  test "print before and after an await is in order, and there before the answer", %{pool: pool} do
    {:ok, device} = StringIO.open("")
    Process.group_leader(self(), device)

    Python.exec!(
      """
      print("a", end="")
      await coroutines.answer()
      print("b", end="")
      await coroutines.after(0.01)
      print("c")
      """,
      pool: pool
    )

    assert {"", "abc\n"} = StringIO.contents(device)

    function = define("async def NAME():\n    print('x')\n    await coroutines.fail('no')")
    assert {:error, _} = Python.call(:__main__, function, [], pool: pool)
    assert {"", "abc\nx\n"} = StringIO.contents(device)

    # It does not wait for the end of the call.
    call = Python.exec_async("print('early')\nawait coroutines.after(1000)", pool: pool)
    eventually("it is printed", fn -> elem(StringIO.contents(device), 1) =~ "early" end)
    Python.cancel(call)
  end

  test "print of a task that is left comes out after the answer", %{pool: pool} do
    {:ok, device} = StringIO.open("")
    Process.group_leader(self(), device)

    function =
      define("""
      async def NAME_later():
          await coroutines.after(0.05)
          print("later", erlang.self())

      async def NAME():
          coroutines.keep(coroutines.asyncio.ensure_future(NAME_later()))
      """)

    assert Python.call(:__main__, function, [], pool: pool) == {:ok, nil}
    eventually("it is printed", fn -> elem(StringIO.contents(device), 1) =~ "later" end)
    assert elem(StringIO.contents(device), 1) =~ inspect(self()) |> String.replace("#PID", "")
  end

  test "print of a task whose caller is dead does no harm", %{pool: pool, name: name} do
    function =
      define("""
      async def NAME_later(name):
          await coroutines.wait_async(name)
          print(".", end="")
          coroutines.note(name, "printed")

      async def NAME(name):
          coroutines.keep(coroutines.asyncio.ensure_future(NAME_later(name)))
      """)

    Task.async(fn ->
      {:ok, device} = StringIO.open("")
      Process.group_leader(self(), device)
      Python.call!(:__main__, function, [name], pool: pool)
      StringIO.close(device)
    end)
    |> Task.await()

    open_gate(name)
    eventually_told(name, "printed")
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    eventually_no_tasks(pool)
  end

  test "logging goes to Logger, with the place in Python", %{pool: pool} do
    text = unique("logged")
    Python.exec!("import logging", pool: pool)
    call = seen("logging.getLogger('shop').warning(value)", pool: pool)
    log = capture_log(fn -> assert {:ok, _} = Python.await(call.(text)) end)
    assert length(String.split(log, text)) >= length(@ways)
  end

  describe "context variables" do
    test "are a call's own, and those of its tasks", %{pool: pool} do
      calls = for n <- 1..100, do: Python.call_async(:coroutines, :set_variable, [n], pool: pool)

      for {call, n} <- Enum.zip(calls, 1..100),
          do: assert(Python.await(call) == {:ok, [nil, n, n]})

      assert on_loop(pool, :get_variable) == {:ok, nil}

      Python.exec!("coroutines.variable.set(5)\nawait coroutines.answer()", pool: pool)
      assert Python.eval("coroutines.variable.get()", pool: pool) == {:ok, nil}
    end

    test "begin as the :init of the pool has set them" do
      pool = start_loop(init: "import coroutines\ncoroutines.variable.set('of init')")
      assert on_loop(pool, :get_variable) == {:ok, "of init"}
      assert on_loop(pool, :set_variable, [1]) == {:ok, ["of init", 1, 1]}
      assert on_loop(pool, :get_variable) == {:ok, "of init"}
    end

    test "of an outer call are not those of one from its function", %{pool: pool} do
      inner = fn -> on_loop!(pool, :get_variable) end

      function =
        define("""
        async def NAME(f):
            coroutines.variable.set("outer")
            return [await f(), coroutines.variable.get()]
        """)

      assert Python.call(:__main__, function, [inner], pool: pool) == {:ok, [nil, "outer"]}
    end
  end

  test "the :init of a pool may await" do
    pool = start_loop(init: "import coroutines\nmade = await coroutines.answer('in init')")
    assert Python.eval("made", pool: pool) == {:ok, "in init"}

    Process.flag(:trap_exit, true)

    capture_log(fn ->
      assert {:error, %Python.Error{type: "ValueError", message: "no"}} =
               Python.Pool.start_link(
                 name: String.to_atom(unique("Elixir.Failing")),
                 engine: :asyncio,
                 init: "import coroutines\nawait coroutines.fail('no')"
               )
    end)
  end
end
