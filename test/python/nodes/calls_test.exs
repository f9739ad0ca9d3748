defmodule Python.Nodes.CallsTest do
  # Calls that run on another node.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [on_a: 2, on_a: 3]

  alias Python.Nodes

  @moduletag timeout: 120_000

  setup_all do
    [a, b] = Nodes.start(2)
    %{a: a, b: b}
  end

  test "values go there and back", context do
    values = [
      1,
      2.5,
      nil,
      true,
      "text",
      <<255>>,
      [1, [2]],
      {1, :a},
      %{"k" => [%{}]},
      ~D[2024-01-01]
    ]

    echo = "Python.eval!(\"x\", %{x: value}, pool: there)"
    here = "Python.eval!(\"x\", %{x: value})"

    for value <- values do
      assert on_a(context, echo, value: value) == on_a(context, here, value: value)
    end

    large = :binary.copy(<<0xAB>>, 20_000_000)
    assert on_a(context, echo <> " == value", value: large)
  end

  test "all kinds of calls run there", context do
    assert on_a(context, "Python.call!(:os, :getpid, [], pool: there)") !=
             on_a(context, "Python.call!(:os, :getpid, [])")

    assert on_a(context, """
           :ok = Python.exec("def f(x, y=1): return x * y", pool: there)
           {Python.call(:__main__, :f, [2], kwargs: %{y: 3}, pool: there),
            Python.map(:__main__, :f, [[1], [2]], pool: there),
            Python.eval("f(a)", %{a: 5}, pool: there),
            Python.await(Python.call_async(:__main__, :f, [7], pool: there)),
            Python.stream(:builtins, :range, [5], pool: there) |> Enum.to_list(),
            Python.call({:not, :there} && :math, :sqrt, [16], pool: {Python.Pool, node()})}
           """) ==
             {{:ok, 6}, {:ok, [1, 2]}, {:ok, 5}, {:ok, 7}, [0, 1, 2, 3, 4], {:ok, 4.0}}
  end

  test "errors are those of one's own node", context do
    for code <- [
          "Python.eval(\"1 / 0\", %{}, pool: pool, file: \"f\")",
          "Python.call(:no_such_module, :f, [], pool: pool)",
          "Python.map(:math, :sqrt, [[1], [-1]], pool: pool)",
          "Python.eval(\"object.x\", pool: pool, file: \"f\")",
          "Python.call(:builtins, :len, [[1, <<1::3>>]], pool: pool)",
          "Python.call(:time, :sleep, [2], timeout: 30, pool: pool)"
        ] do
      {:error, near} = on_a(context, code, pool: Python.Pool)
      {:error, far} = on_a(context, code, pool: {Python.Pool, context.b.node})
      plain = &%{&1 | traceback: nil, value: nil}
      near = if is_struct(near, Python.Error), do: plain.(near), else: near
      far = if is_struct(far, Python.Error), do: plain.(far), else: far
      assert far == near
    end
  end

  test "a pool or a node that is not there is named", context do
    assert {:error, %Python.NotStartedError{} = error} =
             on_a(context, "Python.call(:math, :sqrt, [1], pool: {:Nope, b})")

    assert error.message =~ ":Nope"

    assert {:error, %Python.NotStartedError{} = error} =
             on_a(
               context,
               "Python.call(:math, :sqrt, [1], pool: {Python.Pool, :\"x@127.0.0.99\"})"
             )

    assert error.message =~ "x@127.0.0.99"
    assert error.remedy =~ "Node.connect"

    assert {:error, %Python.NotStartedError{} = error} =
             on_a(context, """
             Node.spawn_link(b, Application, :stop, [:erlang_python])
             Enum.find_value(1..100, fn _ ->
               Process.sleep(20)
               with {:ok, _} <- Python.call(:math, :sqrt, [1], pool: there), do: nil
             end)
             """)

    assert error.message =~ "not started"

    assert on_a(context, """
           {:ok, _} = :erpc.call(b, Application, :ensure_all_started, [:erlang_python])
           Python.call(:math, :sqrt, [16], pool: there)
           """) == {:ok, 4.0}
  end

  @tag blocks: "a plain function waits for Elixir"
  test "functions and iterators are called on the node of the caller", context do
    assert on_a(context, """
           {:ok, mapped} = Python.call(:builtins, :map, [fn x -> {x, node()} end, [1, 2]], pool: there)
           {Enum.to_list(mapped), node()}
           """) ==
             {[{1, context.a.node |> to_string()}, {2, context.a.node |> to_string()}],
              context.a.node}

    assert on_a(context, """
           Python.call!(:builtins, :sum, [Python.iterator(Stream.map(1..1000, & &1))], pool: there)
           """) == 500_500

    assert {:error, %Python.Error{message: message}} =
             on_a(context, """
             Python.call(:functools, :reduce, [fn _, _ -> raise "it is mine" end, [1, 2]], pool: there)
             """)

    assert message =~ "it is mine"

    # It calls the other node again, whose only worker waits for it.
    assert on_a(context, """
           {:ok, _} = :erpc.call(b, Supervisor, :start_child, [Python.Supervisor, {Python.Pool, name: :Single, size: 1}])
           f = fn x -> Python.call!(:math, :sqrt, [x], pool: {:Single, b}) end
           Python.call!(:functools, :reduce, [fn acc, x -> acc + f.(x) end, [1, 4, 9]], pool: {:Single, b}, timeout: 10_000)
           """) == 6.0
  end

  @tag blocks: "a plain function waits for Elixir"
  test "what is printed arrives at the caller, and what is sent", context do
    assert on_a(context, """
           {:ok, io} = StringIO.open("")
           Process.group_leader(self(), io)
           Python.exec!("print('from there')", pool: there)
           {:ok, {_, text}} = StringIO.close(io)
           text
           """) == "from there\n"

    assert on_a(context, """
           Python.exec!("import erlang; erlang.send(erlang.self(), ('hello', 1))", pool: there)
           receive do
             {"hello", 1} -> :received
           after
             5_000 -> Process.info(self(), :messages)
           end
           """) == :received

    assert on_a(context, """
           call = Python.eval_async("__import__('erlang').receive(5000)", %{}, pool: there)
           Python.send(call, %{"a" => [1]})
           Python.await(call)
           """) == {:ok, %{"a" => [1]}}
  end

  test "a context of another node can be used", context do
    assert on_a(context, """
           {:ok, pid} =
             :erpc.call(b, Supervisor, :start_child, [
               Python.Supervisor,
               {Python.Context, name: :context_there, init: "z = 7"}
             ])

           {Python.eval("z", context: pid), Python.exec("z += 1", context: pid), Python.eval("z", context: pid)}
           """) == {{:ok, 7}, :ok, {:ok, 8}}
  end

  test "nothing is left in the mailbox", context do
    assert on_a(context, """
           for n <- 1..50 do
             Python.call(:time, :sleep, [rem(n, 5) / 1000], timeout: rem(n, 4), pool: there)
             call = Python.call_async(:time, :sleep, [0.001], pool: there)
             if rem(n, 2) == 0, do: Python.cancel(call), else: Python.await(call)
             Python.stream(:builtins, :range, [100_000], max_chunk: 100, pool: there) |> Enum.take(n)
             Python.call!(:builtins, :list, [[fn -> n end]], pool: there)
           end
           Process.sleep(500)
           Process.info(self(), :messages)
           """) == {:messages, []}
  end

  test "wrong arguments are raised, and others go on", context do
    assert on_a(context, """
           not_a_context = :erpc.call(b, Process, :whereis, [:kernel_sup])
           other = Python.call_async(:time, :sleep, [0.3], pool: there)

           wrong = [
             fn -> Python.call(:math, :sqrt, [1], pool: {:kernel_sup, b}) end,
             fn -> Python.call(:math, :sqrt, [1], context: not_a_context) end,
             fn -> Python.stream(:builtins, :range, [3], pool: {:kernel_sup, b}) |> Enum.to_list() end,
             fn -> Python.await(Python.call_async(:math, :sqrt, [1], pool: {:kernel_sup, b})) end
           ]

           raised = for call <- wrong, do: (try do call.() rescue error in ArgumentError -> error.message =~ "expected a" end)
           {raised, Python.await(other)}
           """) == {[true, true, true, true], {:ok, nil}}
  end

  @tag blocks: "a plain function waits for Elixir"
  test "functions are what they are on one's own node", context do
    Nodes.eval(context.a, """
    Code.compile_string(\"""
    defmodule Functions do
      def twenty(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t), do: {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t}
      def more(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, _), do: {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t}
    end
    \""")
    """)

    both = fn code, bindings ->
      for pool <- ["there", "Python.Pool"] do
        {:ok, result} = on_a(context, String.replace(code, "POOL", pool), bindings)
        result
      end
    end

    for function <- ["&String.upcase/1", "&Functions.twenty/20", "fn x -> x end"] do
      assert [same, same] =
               both.(
                 """
                 Python.eval("(f.__module__, str(inspect.signature(f)))" |> String.replace("inspect", "__import__('inspect')"),
                   %{f: #{function}}, pool: POOL)
                 """,
                 []
               )
    end

    twenty = Enum.to_list(1..20)
    tuple = List.to_tuple(twenty)

    assert [^tuple, ^tuple] =
             both.("Python.eval(\"f(*x)\", %{f: &Functions.twenty/20, x: x}, pool: POOL)",
               x: twenty
             )

    assert {:error, %Python.EncodeError{} = error} =
             on_a(context, "Python.eval(\"f\", %{f: &Functions.more/21}, pool: there)")

    assert error.message =~ "21 arguments"

    described = """
    function = Python.function(fn x, y -> x - y end, name: "minus", args: [x: :int, y: :int])
    Python.eval("(f(y=1, x=5), f.__name__, str(__import__('inspect').signature(f)))", %{f: function}, pool: POOL)
    """

    assert [same, same] = both.(described, [])

    # What they raise.
    for raise <- [
          "raise \"it is mine\"",
          "throw(:it)",
          "exit(:it)",
          "Python.call!(:math, :sqrt, [-1])",
          "hd([])",
          "Map.fetch!(%{}, :a)"
        ] do
      code = """
      {:error, error} = Python.call(:functools, :reduce, [fn _, _ -> #{raise} end, [1, 2]], pool: POOL)
      cause = error.cause
      {:ok, {error.type, error.message, cause && cause.__struct__}}
      """

      assert [same, same] = both.(code, [])
    end
  end

  @tag blocks: "a plain function waits for Elixir"
  test "whatever Python sends to itself arrives at the caller", context do
    send = """
    import erlang
    def say(x):
        erlang.send(erlang.self(), x)
    class Manager:
        def __enter__(self):
            say("enter")
            return self
        def __exit__(self, *error):
            say("exit")
    """

    for node <- [context.a, context.b], do: Nodes.eval(node, "Python.exec!(code)", code: send)

    code = """
    received = fn count -> for _ <- 1..count, do: (receive do message -> message after 5_000 -> :nothing end) end
    manager = Python.call!(:__main__, :Manager, [], pool: POOL, return: :object)

    # As the messages of the library are named.
    for name <- ~w(taken given cancel ended close credit),
        do: Python.exec!("import erlang; say((erlang.Atom('\#{name}'), 5)); say(erlang.Atom('\#{name}'))", pool: POOL)

    called = received.(12)
    [nil, nil, nil] = Python.stream_eval("(say((i, i)) for i in range(3))", pool: POOL) |> Enum.to_list()
    streamed = received.(3)
    in_body = fn _ -> Python.call!(:__main__, :say, [:body], pool: POOL) end
    nil = Python.with(manager, in_body)
    plain = received.(3)
    # Its body has a process of its own.
    nil = Python.with(manager, fn _ -> nil end, timeout: 10_000)
    {called, streamed, plain, received.(2), Process.info(self(), :messages)}
    """

    [there, here] =
      for pool <- ["there", "Python.Pool"], do: on_a(context, String.replace(code, "POOL", pool))

    assert there == here

    assert {[{:taken, 5}, :taken | _], [{0, 0}, {1, 1}, {2, 2}], ["enter", "body", "exit"],
            ["enter", "exit"], {:messages, []}} = there
  end

  test "an application that does not run, on either node, is named", context do
    stop =
      "Process.group_leader(self(), Process.whereis(:init)); Application.stop(:erlang_python)"

    start = "{:ok, _} = Application.ensure_all_started(:erlang_python)"
    call = "Python.call(:builtins, :callable, [fn -> 1 end], pool: there)"

    assert on_a(context, call) == {:ok, true}
    Nodes.eval(context.b, stop)
    assert {:error, %Python.NotStartedError{message: message}} = on_a(context, call)
    assert message =~ Atom.to_string(context.b.node)
    Nodes.eval(context.b, start)
    assert on_a(context, call) == {:ok, true}

    Nodes.eval(context.a, stop)
    assert {:error, %Python.NotStartedError{message: message}} = on_a(context, call)
    assert message =~ "application :erlang_python is not started"
    Nodes.eval(context.a, start)
    assert on_a(context, call) == {:ok, true}
  end
end
