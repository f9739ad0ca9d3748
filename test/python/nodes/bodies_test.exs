defmodule Python.Nodes.BodiesTest do
  # Bodies of `with`, functions and handles of another node, compared with those of one's own.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [on_a: 2, on_a: 3]

  alias Python.Nodes

  @moduletag timeout: 120_000
  @moduletag engine: :main

  setup_all do
    [a, b] = Nodes.start(2)

    for node <- [a, b] do
      Nodes.eval(
        node,
        """
        {:ok, _} = Supervisor.start_child(Python.Supervisor, {Python.Pool, name: :One, size: 1})
        Python.exec!(code)
        """,
        code: """
        import threading
        class Manager:
            def __enter__(self):
                self.thread = threading.get_ident()
                return self
            def __exit__(self, *error):
                pass
            def same(self):
                return self.thread == threading.get_ident()
            def items(self):
                for n in range(3):
                    yield self.same()
        """
      )
    end

    %{a: a, b: b}
  end

  # The same on both nodes.
  defp both(context, code) do
    [near, far] = for pool <- [:One, {:One, context.b.node}], do: on_a(context, code, pool: pool)
    assert far == near
    far
  end

  test "streams in a body run on the thread of the manager", context do
    assert both(context, """
           manager = Python.call!(:__main__, :Manager, [], pool: pool, return: :object)
           read = fn manager -> Python.stream(manager, :items, [], timeout: 5_000) |> Enum.to_list() end

           [
             Python.with(manager, read),
             Python.with(manager, read, timeout: 10_000),
             Python.with(manager, fn _ -> Python.with(manager, read) end)
           ]
           """) == [[true, true, true], [true, true, true], [true, true, true]]
  end

  test "what a body did not wait for can be awaited after it", context do
    assert both(context, """
           manager = Python.call!(:__main__, :Manager, [], pool: pool, return: :object)
           early = Python.with(manager, fn _ -> Python.eval_async("[1]", %{}, return: :object) end)
           late = Python.with(manager, fn _ ->
             call = Python.eval_async("[1, 2]", %{}, return: :object)
             Process.sleep(100)
             call
           end)

           lengths = for call <- [early, late], do: call |> Python.await() |> elem(1) |> Python.len!()
           {lengths, Process.info(self(), :messages)}
           """) == {[1, 2], {:messages, []}}
  end

  test "what is raised in a body, and what is asked of the pool by a function, an iterator and a stream",
       context do
    assert both(context, """
           manager = Python.call!(:__main__, :Manager, [], pool: pool, return: :object)
           one = fn -> Python.eval!("1", pool: pool, timeout: 5_000) end

           raised =
             for body <- [fn _ -> throw(:x) end, fn _ -> exit(:y) end, fn _ -> hd([]) end, fn _ -> raise "z" end],
                 options <- [[], [timeout: 5_000]] do
               try do
                 Python.with(manager, body, options)
               catch
                 kind, reason -> {kind, reason}
               end
             end

           {raised,
            Python.call!(:functools, :reduce, [fn x, y -> x + y + one.() end, [1, 2, 3]], pool: pool),
            Python.with(manager, fn _ ->
              Python.call!(:functools, :reduce, [fn x, y -> x + y + one.() end, [1, 2, 3]], pool: pool)
            end),
            Python.call!(:functools, :reduce, [fn x, y -> x + y + Python.with(manager, fn _ -> one.() end) end, [1, 2, 3]], pool: pool),
            Python.call!(:builtins, :sum, [Python.iterator(Stream.map(1..3, fn x -> x + one.() end))], pool: pool),
            Python.call!(:functools, :reduce, [fn x, y -> x + y + Enum.sum(Python.stream(:builtins, :range, [3], pool: pool)) end, [1, 2, 3]], pool: pool)}
           """)
           |> Tuple.delete_at(0) == {8, 8, 8, 9, 12}
  end

  @tag blocks: "a plain function waits for Elixir"
  test "a function that comes home is itself again, and functions in and out of others are called",
       context do
    assert on_a(context, """
           there = {Python.Pool, b}
           function = fn x -> {x, node()} end
           {:ok, back} = Python.eval("f", %{f: function}, pool: there)
           {:ok, {[in_list], _}} = Python.eval("([f], 1)", %{f: function}, pool: there)

           {back == function, in_list == function,
            Python.eval!("f(1)(2)", %{f: fn x -> fn y -> x + y end end}, pool: there),
            Python.eval!("f(lambda x: x * 2)", %{f: fn double -> is_struct(double, Python.Object) && Python.apply!(double, [4]) end}, pool: there)}
           """) == {true, true, 3, 8}
  end

  test "a handle of a node that has started anew says so, and all else goes on", context do
    other = Nodes.start_one(context.a, 9)

    Nodes.eval(
      context.a,
      """
      Process.register(spawn(fn ->
        serve = fn serve ->
          receive do
            {:eval, from, code} ->
              send(from, {:result, elem(Code.eval_string(code, there: there), 0)})
              serve.(serve)
          end
        end

        serve.(serve)
      end), :server)
      """,
      there: {Python.Pool, other.node}
    )

    # In one process, as in a server.
    serve = fn code ->
      Nodes.eval(
        context.a,
        "send(:server, {:eval, self(), code}); receive do: ({:result, result} -> result)",
        code: code
      )
    end

    assert serve.("""
           list = Python.eval!("[1]", pool: there, return: :object)
           Process.put(:list, list)
           Python.len(list)
           """) == {:ok, 1}

    Nodes.kill(other)

    assert Enum.find_value(1..200, fn _ ->
             with {:ok, _} <- serve.("Python.call(:math, :sqrt, [16], pool: there)"),
                  do: Process.sleep(20) && nil
           end)

    assert Nodes.start_one(context.a, 9).node == other.node

    assert {{:ok, 4.0}, {:ok, 4.0}, {:error, %Python.StoppedError{message: message}},
            {:error, %Python.StoppedError{}}, {:error, %Python.StoppedError{}},
            {:messages, []}} =
             serve.("""
             list = Process.get(:list)

             {Python.await(Python.call_async(:math, :sqrt, [16], pool: there)),
              Python.call(:math, :sqrt, [16], pool: there),
              Python.len(list),
              Python.call(:builtins, :len, [list], pool: there),
              Python.fetch(list),
              Process.info(self(), :messages)}
             """)

    assert message =~ Atom.to_string(other.node) and message =~ "anew"
  end
end
