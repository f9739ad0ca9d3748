defmodule Python.Nodes.EnginesTest do
  # Pools of each engine on another node, what both nodes tell of a call, and nodes that do not understand each other.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_soon: 2, on_a: 2, on_a: 3]

  alias Python.Nodes

  @moduletag timeout: 180_000

  setup_all do
    [a, b] = Nodes.start(2)
    %{a: a, b: b}
  end

  defp start_pool(context, options) do
    Nodes.eval(
      context.b,
      "{:ok, _} = Supervisor.start_child(Python.Supervisor, Supervisor.child_spec({Python.Pool, options}, id: options[:name]))",
      options: options
    )
  end

  for engine <- [:main, :process, :asyncio] do
    test "a pool of the engine #{engine} is used from another node", context do
      name = :"Engine #{unquote(engine)}"

      init =
        "class C:\n def __init__(self): self.n = 0\n def add(self, n): self.n += n; return self.n"

      start_pool(context, name: name, engine: unquote(engine), size: 1, init: init)

      assert on_a(
               context,
               """
               pool = {name, b}
               object = Python.call!(:__main__, :C, [], pool: pool)
               added = for n <- 1..3, do: Python.call!(object, :add, [n])
               function = fn x -> x * 2 end
               {added, Python.stream_eval("(n * n for n in range(100_000))", pool: pool) |> Enum.sum(),
                Python.eval!("data[::-1]", %{data: {:bytes, :binary.copy(<<1, 2>>, 2_000_000)}}, pool: pool) |> byte_size(),
                Python.call(:math, :sqrt, [-1], pool: pool) |> elem(1) |> Map.get(:type),
                Python.eval!("f", %{f: function}, pool: pool) |> is_function(1),
                Python.len(object) |> elem(1) |> Map.get(:type)}
               """,
               name: name
             ) ==
               {[1, 3, 6], 333_328_333_350_000, 4_000_000, "ValueError", true, "TypeError"}
    end
  end

  test "coroutines are awaited there, many at a time", context do
    start_pool(context,
      name: :Loop,
      engine: :asyncio,
      init: "import asyncio, erlang\nasync def f(n):\n await asyncio.sleep(0.1)\n return n"
    )

    assert on_a(context, """
           calls = for n <- 1..200, do: Python.call_async(:__main__, :f, [n], pool: {:Loop, b})
           begun = System.monotonic_time(:millisecond)
           answers = for call <- calls, do: Python.await(call)
           took = System.monotonic_time(:millisecond) - begun
           {answers == for(n <- 1..200, do: {:ok, n}), took < 10_000,
            Python.eval!("await erlang.acall(f, 2)", %{f: fn x -> {x, node()} end}, pool: {:Loop, b})}
           """) == {true, true, {2, Atom.to_string(context.a.node)}}
  end

  test "a crash there is told to the one who has called", context do
    start_pool(context, name: :Crashes, engine: :process, size: 1)

    assert {:error, %Python.CrashedError{exit_status: 3}} =
             on_a(context, "Python.call(:os, :_exit, [3], pool: {:Crashes, b})")

    assert on_a(context, "Python.call(:math, :sqrt, [16], pool: {:Crashes, b})") == {:ok, 4.0}
  end

  test "a pool of processes that do not start is asked last", context do
    pool = [name: :Partly, engine: :process, size: 1]
    start_pool(context, pool)
    start_pool(%{b: context.a}, [python: "/no/such/python"] ++ pool)
    there = Nodes.eval(context.b, "Python.call(:os, :getpid, [], pool: :Partly)")
    call = "Python.call(:os, :getpid, [], pool: {:Partly, :any})"

    assert_soon("the one that works is asked", fn -> on_a(context, call) == there end)
    for _ <- 1..10, do: assert(on_a(context, call) == there)

    # There is no other one.
    Nodes.eval(context.b, ":ok = Supervisor.terminate_child(Python.Supervisor, :Partly)")

    assert_soon("it is asked nevertheless", fn ->
      match?({:error, %Python.NotStartedError{}}, on_a(context, call))
    end)
  end

  test "nodes with another version refuse each other, from both sides", context do
    # With a field more, as a later version might have. No call may get so far that one of them fails at it.
    later =
      "lib/python/options.ex"
      |> File.read!()
      |> String.replace("++ @others", "++ @others ++ [colour: :red]")

    assert later =~ "colour"
    other = Nodes.start_one(context.b, 6)

    Nodes.eval(
      other,
      "Code.compiler_options(ignore_module_conflict: true); Code.compile_string(later)",
      later: later
    )

    Nodes.connect(context.a, other)

    for {from, to} <- [{context.a, other}, {other, context.a}],
        code <- [
          "Python.call(:math, :sqrt, [16], pool: {Python.Pool, to})",
          "Python.eval(\"1\", %{}, pool: {Python.Pool, to}, timeout: :infinity)",
          "try do Enum.to_list(Python.stream(:builtins, :range, [3], pool: {Python.Pool, to})) rescue e -> {:error, e} end",
          "try do Python.await(Python.call_async(:math, :sqrt, [16], pool: {Python.Pool, to})) rescue e -> {:error, e} end"
        ] do
      assert {:error, %Python.NotStartedError{} = error} = Nodes.eval(from, code, to: to.node)
      assert error.message =~ "another version"
      assert error.message =~ Atom.to_string(to.node)
      assert error.remedy =~ "the same version"
    end

    # Each of them goes on with itself.
    for node <- [context.a, other],
        do: assert(Nodes.eval(node, "Python.call!(:math, :sqrt, [16])") == 4.0)
  end

  test "nodes with another protocol say so", context do
    other = Nodes.start_one(context.b, 7)

    # As if it were of another version.
    Nodes.eval(other, """
    Code.compiler_options(ignore_module_conflict: true)
    Code.compile_string("defmodule Python.Remote do def version, do: 99 end")
    """)

    Nodes.connect(context.a, other)

    assert {:error, %Python.NotStartedError{} = error} =
             Nodes.eval(
               context.a,
               "Python.call(:math, :sqrt, [16], pool: {Python.Pool, other})",
               other: other.node
             )

    assert error.message =~ "another version" and error.message =~ "99"
    assert error.message =~ Atom.to_string(other.node)
  end

  test "a large value does not hold up other calls", context do
    assert on_a(context, """
           data = :binary.copy(<<7>>, 200_000_000)
           large = Task.async(fn -> Python.call!(:builtins, :len, [{:bytes, data}], pool: {Python.Pool, b}, timeout: 60_000) end)
           small = for n <- 1..20, do: Python.call!(:math, :sqrt, [n * n], pool: {Python.Pool, b})
           {small == for(n <- 1..20, do: n * 1.0), Task.await(large, 60_000)}
           """) == {true, 200_000_000}
  end

  test "each start of a call that is told there is followed by an end", context do
    node = Nodes.start_one(context.b, 8, start: false)

    # As the package has it.
    Nodes.eval(node, """
    Code.compile_string(\"""
    defmodule :telemetry do
      def execute(event, measurements, metadata) do
        if pid = Process.whereis(:events), do: send(pid, {event, metadata[:operation], measurements, metadata[:reason]})
        :ok
      end
    end
    \""")

    Process.register(spawn(fn -> Process.sleep(:infinity) end), :events)
    {:ok, _} = Application.ensure_all_started(:erlang_python)
    {:ok, _} = Supervisor.start_child(Python.Supervisor, {Python.Pool, name: :Small, size: 1, max_queue: 1, init: "import time\\ndef wait():\\n while True: time.sleep(0.01)"})
    """)

    Nodes.connect(context.a, node)

    Nodes.eval(
      context.a,
      """
      pool = {:Small, node}
      {:ok, 4.0} = Python.call(:math, :sqrt, [16], pool: pool)
      {:error, %Python.Error{}} = Python.call(:math, :sqrt, [-1], pool: pool)
      {:error, %Python.TimeoutError{}} = Python.call(:__main__, :wait, [], pool: pool, timeout: 50)
      running = Python.call_async(:__main__, :wait, [], pool: pool)
      Process.sleep(100)
      {:error, %Python.TimeoutError{}} = Python.call(:__main__, :wait, [], pool: pool, timeout: 50)
      queued = Python.call_async(:__main__, :wait, [], pool: pool)
      {:error, %Python.OverloadedError{}} = Python.call(:math, :sqrt, [16], pool: pool, timeout: 500)
      Python.cancel(queued)
      Python.cancel(running)
      {:ok, 4.0} = Python.call(:math, :sqrt, [16], pool: pool)
      """,
      node: node.node
    )

    events = fn ->
      {:messages, messages} =
        Nodes.eval(node, "Process.info(Process.whereis(:events), :messages)")

      for {[:python, :call, what], :call, _, reason} <- messages,
          do: {what, reason && reason.__struct__}
    end

    ends = fn events -> for {what, reason} <- events, what != :start, do: {what, reason} end

    assert Enum.reduce_while(1..100, nil, fn _, _ ->
             all = events.()

             if Enum.count(all, &match?({:start, _}, &1)) == length(ends.(all)) and
                  length(ends.(all)) == 8,
                do: {:halt, Enum.sort(ends.(all))},
                else: Process.sleep(50) && {:cont, all}
           end) ==
             Enum.sort([
               {:stop, nil},
               {:stop, nil},
               {:exception, Python.Error},
               {:exception, Python.TimeoutError},
               {:exception, Python.TimeoutError},
               {:exception, Python.OverloadedError},
               {:exception, Python.StoppedError},
               {:exception, Python.StoppedError}
             ])
  end
end
