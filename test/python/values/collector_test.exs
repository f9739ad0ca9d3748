defmodule Python.Values.CollectorTest do
  # Python's search for cycles, which waits while large values are made.

  use Python.EngineCase, async: false

  @lists for n <- 1..2_000, do: [n, %{"n" => n}]

  setup do
    pool = start_pool(size: 1)

    Python.exec!(
      """
      import gc

      def enabled(value):
          return gc.isenabled(), len(value)

      def tracked(value):
          return all(gc.is_tracked(item) for item in value)
      """,
      pool: pool
    )

    on_exit(fn -> Python.exec("import gc; gc.enable()") end)
    {:ok, pool: pool}
  end

  defp enabled(value, pool), do: Python.call!(:__main__, :enabled, [value], pool: pool)

  test "goes on when the value is there", %{pool: pool} do
    assert enabled(@lists, pool) == {true, 2_000}
    assert Python.call!(:__main__, :tracked, [@lists], pool: pool)
    assert enabled(Map.new(@lists, fn [n, map] -> {n, map} end), pool) == {true, 2_000}
    assert Python.eval!("gc.isenabled()", %{}, pool: pool)
  end

  test "goes on after a value that cannot be converted", %{pool: pool} do
    assert {:error, %Python.EncodeError{}} =
             Python.call(:__main__, :enabled, [@lists ++ [[1 | 2]]], pool: pool)

    assert enabled([], pool) == {true, 0}
  end

  test "goes on while code of Python's runs for the value", %{pool: pool} do
    date = ~D[2024-01-01]
    assert enabled(@lists ++ [date, {:ok, MapSet.new([1])}] ++ @lists, pool) == {true, 4_002}
  end

  test "stays off if it was", %{pool: pool} do
    Python.exec!("gc.disable()", pool: pool)
    assert enabled(@lists, pool) == {false, 2_000}
    refute Python.eval!("gc.isenabled()", %{}, pool: pool)
    Python.exec!("gc.enable()", pool: pool)
    assert enabled(@lists, pool) == {true, 2_000}
  end

  test "finds the cycles that were made before and after a value", %{pool: pool} do
    code = """
    import weakref

    class Node:
        pass

    def cycle():
        node = Node()
        node.own = node
        return weakref.ref(node)

    def cycles(value):
        one, other = cycle(), cycle()
        gc.collect()
        return one() is None and other() is None
    """

    Python.exec!(code, pool: pool)
    assert Python.call!(:__main__, :cycles, [@lists], pool: pool)
  end
end
