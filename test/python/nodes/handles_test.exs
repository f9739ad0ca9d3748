defmodule Python.Nodes.HandlesTest do
  # Handles of other nodes: what they can do, and how long what they stand for lives.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_nothing_left: 1, collect: 1]

  alias Python.Nodes

  @moduletag timeout: 180_000

  setup_all do
    [a, b, c] = Nodes.start(3)
    %{a: a, b: b, c: c}
  end

  defp on(node, %{a: a, b: b, c: c}, code, bindings) do
    names = [a: a.node, b: b.node, c: c.node, there: {Python.Pool, b.node}]
    Nodes.eval(node, code, names ++ bindings)
  end

  defp on_a(context, code, bindings \\ []), do: on(context.a, context, code, bindings)

  test "whatever is asked of them is asked there", context do
    assert on_a(context, """
           {:ok, counter} = Python.call(:collections, :Counter, ["aab"], return: :object, pool: there)
           {:ok, list} = Python.eval("[3, 1, 2]", pool: there, return: :object)
           :ok = Python.setitem(counter, "c", 5)
           {:ok, method} = Python.getattr(counter, "most_common", return: :object)

           [
             counter["a"], counter["nothing"], Python.len!(counter), Python.type(counter), Python.callable?(counter),
             Enum.sort(counter), "\#{list}", Python.call!(list, :index, [1]), Python.apply!(method, [1]),
             Python.to_term!(list), Python.call!(:builtins, :sum, [list], pool: there),
             Python.eval!("x + y", %{x: list, y: list}, pool: there), inspect(list),
             Enum.take(Python.stream(list, :__iter__), 2)
           ]
           """) == [
             2,
             0,
             3,
             "collections.Counter",
             false,
             ["a", "b", "c"],
             "[3, 1, 2]",
             1,
             [{"c", 5}],
             [3, 1, 2],
             6,
             [3, 1, 2, 3, 1, 2],
             "#Python.Object<<class 'list'> [3, 1, 2]>",
             [3, 1]
           ]

    assert_nothing_left([context.a, context.b])
  end

  test "the body of a with runs here, and what it asks there on one thread", context do
    assert on_a(context, """
           Python.exec!(\"\"\"
           import threading, contextvars
           var = contextvars.ContextVar("var", default=0)
           class Managed:
               def __enter__(self):
                   self.thread = threading.get_ident()
                   var.set(7)
                   return self
               def __exit__(self, kind, error, _):
                   self.left = repr(kind)
                   return self.swallow
               def same(self):
                   return self.thread == threading.get_ident() and var.get() == 7
           \"\"\", pool: there)

           new = fn swallow ->
             object = Python.call!(:__main__, :Managed, [], pool: there, return: :object)
             :ok = Python.setattr(object, :swallow, swallow)
             object
           end

           one = new.(false)
           me = self()
           {true, ^me, 7} = Python.with(one, fn entered -> {Python.call!(entered, :same), self(), Python.eval!("var.get()")} end)
           "None" = Python.getattr!(one, :left)

           two = new.(false)
           "mine" = try do Python.with(two, fn _ -> raise "mine" end) rescue error in RuntimeError -> error.message end
           true = Python.getattr!(two, :left) =~ "Error"

           three = new.(true)
           nil = Python.with(three, fn _ -> throw(:it) end)

           four = new.(false)
           late = try do Python.with(four, fn _ -> Process.sleep(300) end, timeout: 50) rescue error in Python.TimeoutError -> :late end

           {late, Python.eval!("var.get()", pool: there), Process.info(self(), :messages)}
           """) == {:late, 0, {:messages, []}}

    assert_nothing_left([context.a, context.b])
  end

  test "a copy is one of one's own node", context do
    assert on_a(context, """
           {:ok, far} = Python.call(:collections, :Counter, ["aab"], return: :object, pool: there)
           {:ok, near} = Python.fetch(far)
           {:error, %Python.EncodeError{} = error} = Python.call(:builtins, :len, [far])
           {:error, %Python.Error{}} = Python.fetch(Python.eval!("lambda: 1", pool: there))
           {Python.call!(:builtins, :len, [near]), error.message =~ Atom.to_string(b)}
           """) == {2, true}

    assert_nothing_left([context.a, context.b])
  end

  test "what nobody has any more is released there", context do
    assert on_a(context, """
           objects = for _ <- 1..10_000, do: Python.eval!("object()", pool: there)
           length(objects)
           """) == 10_000

    assert_nothing_left([context.a, context.b])
  end

  test "it lives as long as somebody has it, though the one who got it is gone", context do
    on_a(context, """
    test = self()

    keeper = spawn(fn ->
      receive do
        object ->
          receive do
            from -> send(from, {:answer, Python.call!(object, :index, [2])})
          end
      end
    end)

    Process.register(keeper, :keeper)
    spawn(fn -> send(keeper, Python.eval!("[1, 2]", pool: there, return: :object)) end)
    """)

    collect(context.a)
    Process.sleep(2_500)

    assert on_a(context, """
           send(:keeper, self())
           receive do {:answer, index} -> index after 5_000 -> :nothing end
           """) == 1

    assert_nothing_left([context.a, context.b])
  end

  test "it can be sent on to a third node, and back to its own", context do
    assert on_a(context, """
           {:ok, list} = Python.eval("[1, 2, 3]", pool: there, return: :object)
           third = :erpc.call(c, Python, :len, [list])
           home = :erpc.call(b, Python, :len, [list])
           argument = :erpc.call(b, Python, :call, [:builtins, :sum, [[list] |> hd()]])
           {third, home, argument, Python.len(list)}
           """) == {{:ok, 3}, {:ok, 3}, {:ok, 6}, {:ok, 3}}

    assert_nothing_left([context.a, context.b, context.c])
  end

  test "one that came by a message can be used as long as its owner has it, and so can a stream",
       context do
    assert on_a(context, """
           Node.spawn(b, Code, :eval_string, [
             \"\"\"
             {:ok, list} = Python.eval("[1, 2]", return: :object)
             stream = Python.stream(list, :__iter__)
             send(pid, {:here, self(), list, stream})
             receive do: (:end -> list)
             \"\"\",
             [pid: self()]
           ])

           {owner, list, stream} = receive do {:here, owner, list, stream} -> {owner, list, stream} end
           seen = {Python.len(list), list[1], Enum.to_list(stream), Python.fetch!(list) |> Python.len()}
           {:error, error} = Python.call(:builtins, :len, [list])
           {:error, _} = Python.call(list, :copy, [], pool: Python.Pool)
           send(owner, :end)
           Process.sleep(200)
           :erpc.call(b, fn -> :ok end)
           gone = Enum.find_value(1..50, fn _ ->
             :erpc.call(b, :erlang, :garbage_collect, [])
             Process.sleep(50)
             with {:ok, _} <- Python.len(list), do: nil
           end)
           {seen, error.message =~ Atom.to_string(b), elem(gone, 0)}
           """) == {{{:ok, 2}, 2, [1, 2], {:ok, 2}}, true, :error}
  end

  test "one in the result of a runner is kept there, with a process that says so", context do
    assert on_a(context, """
           Node.spawn(b, Code, :eval_string, [
             \"\"\"
             {:ok, list} = Python.eval("[1, 2]", return: :object)
             send(pid, {:result, self(), list})
             receive do: (:seen -> list)
             \"\"\",
             [pid: self()]
           ])

           {runner, list} = receive do {:result, runner, list} -> {runner, list} end
           {kept, [tracker]} = Python.Remote.Trackable.track(list, [], b)
           send(runner, :seen)
           monitor = Process.monitor(tracker)
           Process.sleep(2_500)
           2 = Python.len!(kept)
           Process.put(:monitor, monitor)
           b == node(tracker)
           """) == true

    assert_nothing_left([context.a, context.b])
  end

  test "what a third node has used is kept for it when the one in the middle is gone", context do
    middle = Nodes.start_one(context.b, 8)
    Nodes.connect(middle, context.c)

    Nodes.eval(
      context.c,
      """
      Process.register(spawn(fn ->
        {first, list} = receive do: ({:use, list} -> {Python.len(list), list})
        receive do: ({:again, from} -> send(from, {first, Python.len(list)}))
      end), :third)
      """
    )

    Nodes.eval(
      middle,
      "send({:third, c}, {:use, Python.eval!(\"[1, 2, 3]\", pool: {Python.Pool, b}, return: :object)})",
      c: context.c.node,
      b: context.b.node
    )

    Process.sleep(1_000)
    Nodes.kill(middle)
    Process.sleep(3_000)

    assert Nodes.eval(context.c, """
           send(:third, {:again, self()})
           receive do: (answer -> answer)
           """) == {{:ok, 3}, {:ok, 3}}

    assert_nothing_left([context.b, context.c])
  end

  test "what a node has held is released when it is gone", context do
    other = Nodes.start_one(context.b, 9)

    assert Nodes.eval(
             other,
             """
             objects = for _ <- 1..1_000, do: Python.eval!("object()", pool: {Python.Pool, b})
             Process.register(spawn(fn -> Process.sleep(:infinity); objects end), :holder)
             length(objects)
             """,
             b: context.b.node
           ) == 1_000

    assert {kept, _} = Nodes.handles(context.b)
    assert kept >= 1_000
    Nodes.kill(other)
    assert_nothing_left([context.b])
  end
end
