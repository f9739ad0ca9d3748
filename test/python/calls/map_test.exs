defmodule Python.Calls.MapTest do
  use Python.EngineCase, async: true

  alias Python.{Error, TimeoutError}

  test "gives the results in order" do
    calls = for n <- 1..10_000, do: [n]
    assert {:ok, results} = Python.map(:math, :sqrt, calls)
    assert results == for(n <- 1..10_000, do: :math.sqrt(n))
  end

  test "of nothing is nothing" do
    assert Python.map(:math, :sqrt, []) == {:ok, []}
  end

  test "takes calls with different numbers of arguments" do
    assert Python.map(:builtins, :max, [[[1, 2]], [3, 4], [5, 6, 7]]) == {:ok, [2, 4, 7]}
  end

  test "gives keyword arguments to every call" do
    assert Python.map(:builtins, :int, [["ff"], ["10"]], kwargs: %{base: 16}) == {:ok, [255, 16]}
  end

  test "calls methods of an object" do
    list = Python.eval!("[]", %{}, return: :object)
    assert Python.map(list, :append, [[1], [2]]) == {:ok, [nil, nil]}
    assert Python.call(list, :copy) == {:ok, [1, 2]}
  end

  test "keeps the results in Python with return: :object" do
    assert {:ok, [%Python.Object{} = one, %Python.Object{}]} =
             Python.map(:builtins, :list, [[], []], return: :object)

    assert Python.call(one, :append, [1]) == {:ok, nil}
  end

  test "ends with the first exception, and says which call it was" do
    name = define("NAME = []")

    source = """
    def #{name}_f(n):
        #{name}.append(n)
        return 1 / n
    """

    Python.exec!(source)

    assert {:error, %Error{type: "ZeroDivisionError"} = error} =
             Python.map(:__main__, name <> "_f", [[1], [2], [0], [3]])

    assert Exception.message(error) =~ "index 2"
    assert Enum.any?(error.notes, &(&1 =~ "index 2"))
    assert Python.eval(name) == {:ok, [1, 2, 0]}
  end

  test "says which call could not be made or brought nothing back" do
    assert {:error, %Python.EncodeError{} = error} =
             Python.map(:builtins, :len, [["a"], [<<1::3>>]])

    assert Exception.message(error) =~ "index 1"

    assert {:error, %Python.DecodeError{} = error} = Python.map(:builtins, :chr, [[97], [0xD800]])

    assert Exception.message(error) =~ "index 1"
  end

  test "of a function that is not there is an error" do
    assert {:error, %Error{type: "AttributeError"}} = Python.map(:math, :nope, [[1]])
    assert {:error, %Error{type: "AttributeError"}} = Python.map(:math, :nope, [])
  end

  test "has one timeout for all calls, also of C functions" do
    pool = start_pool()
    calls = List.duplicate([0.05], 1_000)
    {ms, result} = timed(fn -> Python.map(:time, :sleep, calls, timeout: 100, pool: pool) end)
    assert {:error, %TimeoutError{timeout: 100}} = result
    assert ms < 10_000
    assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
    eventually_idle(pool)
  end

  test "lets other calls run meanwhile, with two workers" do
    pool = start_pool(size: 2)
    calls = for n <- 1..300_000, do: [n]
    map = Task.async(fn -> timed(fn -> Python.map(:math, :sqrt, calls, pool: pool) end) end)
    # On a busy machine it may be over by the time that this process has its turn.
    eventually("the map has begun", fn ->
      stats = Python.Pool.stats(pool)
      stats.busy + stats.done > 0
    end)

    {ms, {:ok, 2.0}} = timed(fn -> Python.call(:math, :sqrt, [4], pool: pool) end)
    {map_ms, {:ok, _}} = Task.await(map, 60_000)
    assert ms < map_ms
  end

  test "refuses all but a list of lists of arguments" do
    for calls <- [1, [1], [[1] | 2], [[1 | 2]], %{}, [{1}], nil] do
      assert_raise ArgumentError, ~r/list of lists/, fn -> Python.map(:math, :sqrt, calls) end
    end
  end
end
