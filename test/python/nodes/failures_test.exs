defmodule Python.Nodes.FailuresTest do
  # Callers, connections and nodes that end in the middle of something: the work ends there, and nobody waits for ever.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_nothing_left: 1, assert_soon: 2, on_a: 2, on_a: 3]

  alias Python.Nodes

  @moduletag timeout: 180_000

  setup do
    [a, b] = Nodes.start(2)

    # What cannot be interrupted would stay for as long as it takes.
    wait = "import time\ndef wait():\n while True: time.sleep(0.01)"
    Nodes.eval(b, "Python.exec!(code)", code: wait)
    %{a: a, b: b}
  end

  # Nothing runs, and nothing is kept.
  defp assert_at_rest(node) do
    assert_soon("the pool is at rest", fn ->
      stats = Nodes.eval(node, "Python.Pool.stats(Python.Pool)")
      (stats.busy == 0 and stats.queued == 0 and stats.stuck == 0) || stats
    end)

    assert_nothing_left([node])

    assert_soon("no process stands for another", fn ->
      left =
        Nodes.eval(node, """
        for pid <- Process.list(),
            {_, dictionary} <- [Process.info(pid, :dictionary)],
            {_, {module, _, _}} <- [Process.info(pid, :current_function)],
            module in for(part <- ~w(Proxy Feed Hold Start Watch), do: Module.concat(Python.Remote, part)),
            do: {module, dictionary}
        """)

      left == [] || left
    end)
  end

  # What a process on the node a does, until it is stopped.
  @works [
    ~S|Python.call(:__main__, :wait, [], pool: there, timeout: :infinity)|,
    ~S|Python.eval("[0 for _ in iter(int, 1)]", %{}, pool: there, timeout: :infinity)|,
    ~S|Python.await(Python.call_async(:__main__, :wait, [], pool: there, timeout: :infinity), :infinity)|,
    ~S|Python.stream_eval("(__import__('time').sleep(0.001) for _ in iter(int, 1))", pool: there) \|> Stream.run()|,
    ~S|Python.call(:builtins, :list, [Python.iterator(Stream.repeatedly(fn -> Process.sleep(1) end))], pool: there, timeout: :infinity)|,
    ~S|for _ <- Stream.cycle([1]), do: Python.eval!("object()", pool: there)|,
    ~S|Python.with(Python.eval!("__import__('threading').Lock()", pool: there), fn _ -> Process.sleep(:infinity) end)|
  ]

  defp start_works(context) do
    on_a(
      context,
      """
      for {code, number} <- Enum.with_index(works) do
        pid = spawn(fn -> result = Code.eval_string(code, there: there); Process.put(:result, result); Process.sleep(:infinity) end)
        Process.register(pid, :"work\#{number}")
      end
      """,
      works: @works
    )

    Process.sleep(500)
  end

  test "callers that are killed leave nothing", context do
    start_works(context)

    on_a(context, """
    for number <- 0..#{length(@works) - 1}, do: Process.exit(Process.whereis(:"work\#{number}"), :kill)
    """)

    assert_at_rest(context.b)
    assert on_a(context, "Python.call(:math, :sqrt, [16], pool: there)") == {:ok, 4.0}
  end

  test "the node of the callers is killed", context do
    start_works(context)
    Nodes.kill(context.a)
    assert_at_rest(context.b)
    assert Nodes.eval(context.b, "Python.call(:math, :sqrt, [16])") == {:ok, 4.0}
  end

  test "the connection is lost: callers are told, the work ends, and it goes on with the next one",
       context do
    start_works(context)
    on_a(context, "true = Node.disconnect(b)")

    assert_soon("each has ended, or holds on to its body", fn ->
      waiting =
        on_a(context, """
        for number <- 0..#{length(@works) - 2},
            pid = Process.whereis(:"work\#{number}"),
            {_, function} = Process.info(pid, :current_function) do
          {_, dictionary} = Process.info(pid, :dictionary)
          unless dictionary[:result], do: {number, function}
        end
        |> Enum.filter(& &1)
        """)

      waiting == [] || waiting
    end)

    assert_at_rest(context.b)

    assert on_a(context, """
           true = Node.connect(b)
           for number <- 0..#{length(@works) - 1}, pid = Process.whereis(:"work\#{number}"), do: Process.exit(pid, :kill)
           {Python.call(:math, :sqrt, [16], pool: there), Python.stream(:builtins, :range, [3], pool: there) |> Enum.to_list()}
           """) == {{:ok, 4.0}, [0, 1, 2]}

    assert_at_rest(context.a)
  end

  test "who dies while a manager is entered or left there, or in the body, and whose connection is lost",
       context do
    code = """
    import erlang
    class Door:
        def __init__(self, pid, entering, leaving): self.pid, self.entering, self.leaving = pid, entering, leaving
        def __enter__(self): erlang.send(self.pid, "entering"); self.entering and wait()
        def __exit__(self, *error): erlang.send(self.pid, "leaving"); self.leaving and wait()
    """

    engines = for engine <- [:main, :process, :asyncio], do: {engine, :"on_#{engine}"}

    for {engine, name} <- engines do
      Nodes.eval(
        context.b,
        """
        pool = {Python.Pool, name: name, size: 2, engine: engine, timeout: :infinity}
        {:ok, _} = Supervisor.start_child(Python.Supervisor, pool)
        Python.exec!(code, pool: name)
        """,
        engine: engine,
        name: name,
        code: "import time\ndef wait():\n while True: time.sleep(0.01)\n" <> code
      )
    end

    for end_it <- ["Process.exit(caller, :kill)", "true = Node.disconnect(b)"],
        {_, name} <- engines,
        {entering, leaving, at} <- [
          {true, false, "entering"},
          {false, true, "leaving"},
          {false, false, "body"}
        ] do
      on_a(
        context,
        """
        Node.connect(b)
        test = self()
        door = Python.call!(:__main__, :Door, [test, entering, leaving], pool: {name, b}, return: :object)
        body = fn _ -> send(test, "body") && at == "body" && Process.sleep(:infinity) end
        caller = spawn(fn -> Python.with(door, body) end)
        receive do: (^at -> #{end_it})
        """,
        entering: entering,
        leaving: leaving,
        at: at,
        name: name
      )

      assert_soon("#{name} is at rest after #{end_it} at #{at}", fn ->
        stats = Nodes.eval(context.b, "Python.Pool.stats(name)", name: name)
        (stats.busy == 0 and stats.stuck == 0) || stats
      end)
    end
  end

  test "the node that Python runs on is killed: callers are told which", context do
    on_a(context, """
    {:ok, list} = Python.eval("[1]", pool: there, return: :object)
    Process.register(spawn(fn -> Process.put(:list, list); receive do :end -> list end end), :holder)
    test = spawn(fn -> receive do {from, :get} -> send(from, Process.get(:result)) end end)
    Process.register(test, :result)

    Process.register(spawn(fn ->
      result = Python.call(:__main__, :wait, [], pool: there, timeout: :infinity)
      Process.put(:result, result)
      Process.sleep(:infinity)
    end), :caller)
    """)

    Process.sleep(200)
    Nodes.kill(context.b)

    assert_soon("the caller is told", fn ->
      result =
        on_a(
          context,
          "{_, dictionary} = Process.info(Process.whereis(:caller), :dictionary); dictionary[:result]"
        )

      match?({:error, %Python.StoppedError{reason: :worker_down}}, result) || result
    end)

    assert {:error, error} =
             on_a(
               context,
               "{_, d} = Process.info(Process.whereis(:holder), :dictionary); Python.len(d[:list])"
             )

    assert Exception.message(error) =~ Atom.to_string(context.b.node)
    on_a(context, "Process.exit(Process.whereis(:holder), :kill)")
    assert_at_rest(context.a)
  end

  test "a timeout, and cancel, free the worker there", context do
    assert on_a(context, """
           {:error, %Python.TimeoutError{timeout: 50}} =
             Python.eval("[0 for _ in iter(int, 1)]", %{}, pool: there, timeout: 50)

           {:error, %Python.TimeoutError{}} =
             Python.await(Python.call_async(:__main__, :wait, [], pool: there, timeout: 50), 5_000)

           call = Python.call_async(:__main__, :wait, [], pool: there)
           :ok = Python.cancel(call)
           other = Python.call_async(:__main__, :wait, [], pool: there)
           me = self()
           spawn(fn -> Process.sleep(50); send(me, Python.cancel(other)) end)
           {:error, %Python.StoppedError{reason: :cancelled}} = Python.await(other)
           late = Python.call_async(:__main__, :wait, [], pool: there)
           {:error, %Python.TimeoutError{}} = Python.await(late, 30)
           :done
           """) == :done

    assert_at_rest(context.b)
  end

  test "a node that stands still for a while goes on", context do
    os_pid = Nodes.eval(context.b, "System.pid()")

    on_a(context, """
    Process.register(spawn(fn ->
      Process.put(:result, Python.call(:time, :sleep, [0.2], pool: there, timeout: 30_000))
      Process.sleep(:infinity)
    end), :caller)
    """)

    Process.sleep(50)
    Nodes.signal(os_pid, "STOP")

    assert {:error, %Python.TimeoutError{}} =
             on_a(context, "Python.call(:math, :sqrt, [16], pool: there, timeout: 100)")

    Process.sleep(2_000)
    Nodes.signal(os_pid, "CONT")

    assert_soon("the caller has its answer", fn ->
      result =
        on_a(context, "{_, d} = Process.info(Process.whereis(:caller), :dictionary); d[:result]")

      result == {:ok, nil} || result
    end)

    assert on_a(context, "Python.call(:math, :sqrt, [16], pool: there)") == {:ok, 4.0}
    on_a(context, "Process.exit(Process.whereis(:caller), :kill)")
    assert_at_rest(context.b)
  end

  test "a stream never has more on its way than was asked for", context do
    assert on_a(context, """
           stream = Python.stream_eval("(n for n in iter(range(10**9).__iter__().__next__, -1))", pool: there, max_chunk: 100)

           Enum.reduce_while(stream, 0, fn _item, count ->
             {:message_queue_len, waiting} = Process.info(self(), :message_queue_len)
             if waiting > 2, do: raise("there are \#{waiting} chunks in the mailbox")
             if rem(count, 1_000) == 0, do: Process.sleep(5)
             if count < 20_000, do: {:cont, count + 1}, else: {:halt, count}
           end)
           """) == 20_000

    assert_at_rest(context.b)
  end

  test "a pool is found on other nodes, and the idle one is taken", context do
    for {node, name} <- [{context.a, :Both}, {context.b, :Both}, {context.b, :There}] do
      Nodes.eval(
        node,
        "{:ok, _} = Supervisor.start_child(Python.Supervisor, {Python.Pool, name: name, size: 1})",
        name: name
      )
    end

    assert_soon("both are known", fn ->
      found =
        on_a(
          context,
          "{Python.Pool.whereabouts(:Both), Python.Pool.whereabouts(:There), Python.Pool.whereabouts(:None)}"
        )

      found == {[context.a.node, context.b.node], [context.b.node], []} || found
    end)

    pid = fn name ->
      on_a(context, "Python.call!(:os, :getpid, [], pool: {name, :any})", name: name)
    end

    pids =
      for node <- [context.a, context.b], do: String.to_integer(Nodes.eval(node, "System.pid()"))

    [here, there] = pids
    assert pid.(:Both) == here
    assert pid.(:There) == there

    on_a(
      context,
      "for _ <- 1..3, do: spawn(fn -> Python.call(:time, :sleep, [3], pool: :Both) end)"
    )

    Process.sleep(300)
    assert pid.(:Both) == there

    assert {:error, %Python.NotStartedError{}} =
             on_a(context, "Python.call(:math, :sqrt, [1], pool: {:None, :any})")
  end
end
