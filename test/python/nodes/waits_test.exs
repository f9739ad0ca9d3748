defmodule Python.Nodes.WaitsTest do
  # Timeouts hold whatever the other node and the connection do, and processes that others need wait for nobody.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_soon: 2, on_a: 2, on_a: 3]

  alias Python.Nodes

  @moduletag timeout: 120_000

  setup do
    [a, b] = Nodes.start(2)
    %{a: a, b: b, os_pid: Nodes.eval(b, "System.pid()")}
  end

  # Of the process that is registered as the caller.
  defp dictionary(context) do
    {_, dictionary} = on_a(context, "Process.info(Process.whereis(:caller), :dictionary)")
    dictionary
  end

  test "with a node that stands still, and a connection that is full", context do
    on_a(context, """
    Process.register(spawn(fn ->
      lock = Python.eval!("__import__('threading').Lock()", pool: there)
      Process.put(:ready, true)
      receive do: (:go -> :ok)
      data = :binary.copy(<<1>>, 50_000_000)

      works = [
        fn -> Python.call(:builtins, :len, [data], pool: there, timeout: 300) end,
        fn -> Python.call(:builtins, :len, [data], pool: there, timeout: 300) end,
        fn -> Python.call(:math, :sqrt, [16], pool: there, timeout: 100) end,
        fn -> Python.await(Python.call_async(:math, :sqrt, [16], pool: there, timeout: 100)) end,
        fn -> Python.with(lock, fn _ -> :held end, timeout: 100) end,
        fn -> Python.stream(:builtins, :range, [10], pool: there, timeout: 100) |> Enum.to_list() end
      ]

      results =
        for work <- works do
          try do
            work.()
          rescue
            error -> {:error, error}
          end
        end

      Process.put(:results, results)
      Process.sleep(:infinity)
    end), :caller)
    """)

    assert_soon("it is ready", fn -> dictionary(context)[:ready] end)
    Nodes.signal(context.os_pid, "STOP")
    on_a(context, "send(:caller, :go)")

    # While it stands still.
    assert_soon("all have their errors", fn ->
      results = dictionary(context)[:results]

      (is_list(results) and Enum.all?(results, &match?({:error, %Python.TimeoutError{}}, &1))) ||
        results
    end)

    Nodes.signal(context.os_pid, "CONT")
    assert on_a(context, "Python.call(:math, :sqrt, [16], pool: there)") == {:ok, 4.0}

    assert on_a(context, "Process.info(Process.whereis(:caller), :message_queue_len)") ==
             {:message_queue_len, 0}
  end

  test "with a connection that is still to be made", context do
    other = Nodes.start_one(context.b, 9)
    Nodes.signal(Nodes.eval(other, "System.pid()"), "STOP")

    # A connection has 7 s to be made.
    {took, result} =
      :timer.tc(fn ->
        on_a(
          context,
          "Python.call(:math, :sqrt, [16], pool: {Python.Pool, other}, timeout: 100)",
          other: other.node
        )
      end)

    assert {:error, %Python.TimeoutError{timeout: 100, message: message}} = result
    assert message =~ Atom.to_string(other.node)
    assert took < 6_000_000
  end

  test "callers that gave up before they were answered leave nobody who stands for them",
       context do
    on_a(context, """
    Process.register(spawn(fn ->
      receive do: (:go -> :ok)
      for _ <- 1..5, do: Python.call(:math, :sqrt, [16], pool: there, timeout: 50)
      Process.put(:done, true)
      receive do: (:again -> :ok)
      Process.put(:result, Python.call(:math, :sqrt, [16], pool: there))
      Process.sleep(:infinity)
    end), :caller)
    """)

    Nodes.signal(context.os_pid, "STOP")
    on_a(context, "send(:caller, :go)")

    assert_soon("it has given up", fn ->
      dictionary(context)[:done]
    end)

    Nodes.signal(context.os_pid, "CONT")
    on_a(context, "send(:caller, :again)")

    assert_soon("the next call is answered", fn ->
      dictionary(context)[:result] == {:ok, 4.0}
    end)

    # Those that nobody has begun with do not stand for the caller: they end by themselves.
    standing = """
    for pid <- Process.list(),
        {_, {Python.Remote.Proxy, _, _}} <- [Process.info(pid, :current_function)],
        do: pid
    """

    assert_soon("one stands for it", fn -> length(Nodes.eval(context.b, standing)) == 1 end)
  end

  test "a context that takes its time to start holds up nothing else of the caller", context do
    path = Path.join(System.tmp_dir!(), "erlang_python_slow#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm(path) end)
    init = "import os, time\nwhile not os.path.exists(#{inspect(path)}): time.sleep(0.01)"

    Nodes.eval(
      context.b,
      "spawn(fn -> Supervisor.start_child(Python.Supervisor, {Python.Context, name: :slow, init: init}) end)",
      init: init
    )

    assert_soon("it has a name", fn ->
      Nodes.eval(context.b, "is_pid(Process.whereis(:slow))")
    end)

    assert on_a(
             context,
             """
             pid = :erpc.call(b, Process, :whereis, [:slow])
             waits = Python.call_async(:math, :sqrt, [9], context: pid)
             others = for _ <- 1..3, do: Python.call(:math, :sqrt, [16], pool: there, timeout: 5_000)
             {:error, %Python.TimeoutError{}} = Python.call(:math, :sqrt, [9], context: pid, timeout: 50)
             File.write!(path, "")
             {others, Python.await(waits)}
             """,
             path: path
           ) == {[{:ok, 4.0}, {:ok, 4.0}, {:ok, 4.0}], {:ok, 3.0}}
  end
end
