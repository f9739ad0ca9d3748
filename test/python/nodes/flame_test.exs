defmodule Python.Nodes.FlameTest do
  # Handles and streams in the results of FLAME's runners. FLAME is a stand-in, or the real one: ERLANG_PYTHON_FLAME is the folder of
  # a compiled one, as for Kino (CONTRIBUTING.md).

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_nothing_left: 1, on_a: 2]

  alias Python.Nodes

  @moduletag timeout: 180_000

  # As FLAME does it: the runner holds the result until it is known who is to be watched.
  @call """
  Process.put(:call, fn code ->
    Node.spawn(b, Code, :eval_string, [
      \"\"\"
      {result, _} = Code.eval_string(code)
      send(pid, {:result, self(), result})
      receive do: ({:watch, _pids} -> Function.identity(result))
      \"\"\",
      [pid: self(), code: code]
    ])

    receive do
      {:result, runner, result} ->
        {result, pids} = FLAME.track_resources(result, [], b)
        send(runner, {:watch, pids})
        # What is not kept there is gone by then.
        Process.sleep(2_500)
        for pid <- :erpc.call(b, Process, :list, []), do: :erpc.call(b, :erlang, :garbage_collect, [pid])
        {result, pids}
    end
  end)

  call = Process.get(:call)

  """

  setup do
    [a, b] = Nodes.start(2)

    for node <- [a, b] do
      case System.get_env("ERLANG_PYTHON_FLAME") do
        nil ->
          Nodes.eval(node, File.read!("test/support/fake_flame.exs"))

        folder ->
          Nodes.eval(node, "Code.prepend_path(folder)", folder: Path.join(folder, "flame/ebin"))
      end
    end

    Nodes.eval(b, "Python.exec!(code)",
      code: """
      class Session:
          def tokens(self, count):
              yield from range(count)

          def ask(self):
              return "because"
      """
    )

    %{a: a, b: b}
  end

  test "are kept there, and the runner is watched, until they are dropped", context do
    assert on_a(
             context,
             @call <>
               ~S"""
               {%{model: {session, [other]}, n: 1}, pids} =
                 call.(~S|%{model: {Python.eval!("Session()"), [Python.eval!("Session()")]}, n: 1}|)

               watched = length(pids)
               monitors = for pid <- pids, do: Process.monitor(pid)
               true = Enum.all?(pids, &(node(&1) == b))
               {watched, Python.call!(session, :ask), Python.call!(other, :ask), Python.stream(session, :tokens, [3]) |> Enum.to_list()}
               """
           ) == {2, "because", "because", [0, 1, 2]}

    assert_nothing_left([context.a, context.b])
  end

  test "a stream is kept with the object that it is of, and read there", context do
    assert on_a(
             context,
             @call <>
               ~S"""
               {[stream, numbers], pids} =
                 call.(~S|[Python.stream(Python.eval!("Session()"), :tokens, [5], max_chunk: 2), Python.stream_eval("map(f, xs)", %{xs: [1, 2], f: &(&1 * 2)})]|)

               2 = length(pids)
               [monitor | _] = for pid <- pids, do: Process.monitor(pid)
               first = Enum.to_list(stream)
               again = stream |> Stream.map(&(&1 * 10)) |> Enum.take(2)
               zipped = Stream.zip(stream, numbers) |> Enum.to_list()
               sent = Task.await(Task.async(fn -> Enum.sum(stream) end))
               back = :erpc.call(b, Enum, :to_list, [numbers])
               still = receive do: ({:DOWN, _, _, _, _} = down -> down), after: (0 -> :watched)
               {first, again, zipped, sent, back, still, inspect(stream) =~ Atom.to_string(b)}
               """
           ) == {[0, 1, 2, 3, 4], [0, 10], [{0, 2}, {1, 4}], 10, [2, 4], :watched, true}

    assert_nothing_left([context.a, context.b])
  end

  test "what is of this node, and what is none of Python's, stays as it is", context do
    assert on_a(
             context,
             @call <>
               ~S"""
               here = Python.eval!("object()")
               stream = Python.stream(:builtins, :range, [3])
               {[^here, tracked, 1, %URI{}], []} = FLAME.track_resources([here, stream, 1, %URI{}], [], node())
               {[^here, ^stream], []} = FLAME.track_resources([here, stream], [], b)
               Enum.to_list(tracked)
               """
           ) == [0, 1, 2]

    assert_nothing_left([context.a, context.b])
  end

  test "their runner is gone: they say so", context do
    assert on_a(
             context,
             @call <>
               ~S"""
               {[stream, session], _} = call.(~S|[Python.stream(Python.eval!("Session()"), :tokens, [5]), Python.eval!("Session()")]|)
               true = Node.disconnect(b)
               {:error, gone} = Python.call(session, :ask)
               lost = try do: Enum.to_list(stream), rescue: (error -> error)
               {gone.__struct__, lost.__struct__}
               """
           ) == {Python.StoppedError, Python.StoppedError}

    assert_nothing_left([context.a, context.b])
  end
end
