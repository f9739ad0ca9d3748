defmodule Python.Nodes.WithoutPythonTest do
  # Callers on a node that has no Python, or has not started it: web servers that use the machine with the GPU.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_nothing_left: 1]

  alias Python.Nodes

  @moduletag timeout: 180_000

  for {what, settings} <- [
        {"without a Python", [python_path: "/no/such/python"]},
        {"without a Python, and without a pool",
         [python_path: "/no/such/python", start_pool: false]},
        {"whose Python has not started", [start: :lazy]}
      ] do
    test "a node #{what} calls another one, and what it drops is released there" do
      [b] = Nodes.start(1)
      a = Nodes.start_one(b, 9, settings: unquote(settings))

      results =
        Nodes.eval(
          a,
          """
          spawn_monitor(fn ->
            code = "import contextlib\\n@contextlib.contextmanager\\ndef managed(): yield 5\\ndef feed(items): return sum(items)"
            :ok = Python.exec(code, pool: there)
            handles = for _ <- 1..1_000, do: Python.eval!("object()", pool: there)
            counter = Python.call!(:collections, :Counter, ["aab"], pool: there, return: :object)

            exit({:results, [
              length(handles),
              Python.len!(counter),
              inspect(counter) =~ "Counter",
              Python.call!(:builtins, :list, [Python.eval!("map(f, [1, 2])", %{f: &(&1 * 2)}, pool: there)], pool: there),
              Python.call!(:__main__, :feed, [Python.iterator(1..100)], pool: there),
              Python.stream_eval("(object() for _ in range(500))", pool: there) |> Enum.count(),
              Python.with(Python.call!(:__main__, :managed, [], pool: there), fn five -> five + Python.len!(counter) end),
              Python.await(Python.call_async(:math, :sqrt, [16], pool: there)),
              Python.call(:math, :sqrt, [16], pool: {Python.Pool, :any})
            ]})
          end)

          receive do: ({:DOWN, _, _, _, reason} -> reason)
          """,
          there: {Python.Pool, b.node}
        )

      assert results ==
               {:results, [1_000, 2, true, [2, 4], 5_050, 500, 7, {:ok, 4.0}, {:ok, 4.0}]}

      assert_nothing_left([a, b])
    end
  end
end
