defmodule Python.Values.OwnThreadsTest do
  # Values are built on a scheduler of the VM, or on a thread that it does not know: a context's, or
  # that of a worker for which there is no scheduler.
  use Python.EngineCase, async: true

  @values [
    "{i: i for i in range(32)}",
    "{i: i for i in range(33)}",
    "{i: i for i in range(129)}",
    "{i: str(i) for i in range(1_000)}",
    "{str(i): [i] for i in range(50_000)}",
    "{(i, j): {k: None for k in range(200)} for i in range(10) for j in range(20)}",
    "set(range(5_000))",
    "frozenset(str(i) for i in range(300))",
    "list(range(100_000))",
    "[i / 7 for i in range(1_000)]",
    "tuple(range(10_000))",
    "[2 ** i for i in range(0, 3_000, 7)]",
    "['x' * i for i in range(0, 200_000, 9_999)]",
    "[b'\\xff' * i for i in range(0, 200_000, 9_999)]",
    "[__import__('datetime').date(2024, 1, 1 + i) for i in range(20)]",
    "[float('nan'), float('inf'), float('-inf'), None, True, False]"
  ]

  for {source, index} <- Enum.with_index(@values) do
    test "#{index}: #{source} is the same term" do
      context = start_context()
      expected = Python.eval!(unquote(source))
      assert Python.eval!(unquote(source), %{}, context: context) == expected
      assert Python.eval!("v", %{v: expected}, context: context) == expected
      chunks = Python.stream_eval("iter([#{unquote(source)}] * 3)", %{}, context: context)
      assert Enum.to_list(chunks) == [expected, expected, expected]
    end
  end

  test "keys of a large dict that are one term are an error" do
    context = start_context()
    source = "{**{str(i): 0 for i in range(500)}, **{b'7': 1}}"
    assert {:error, %Python.DecodeError{}} = Python.eval(source)
    assert {:error, %Python.DecodeError{}} = Python.eval(source, %{}, context: context)
  end

  test "more workers than dirty schedulers give large maps" do
    pool = :"#{__MODULE__}.Many"

    start_supervised!(
      {Python.Pool, name: pool, size: :erlang.system_info(:dirty_io_schedulers) + 4}
    )

    1..64
    |> Task.async_stream(
      fn n ->
        source = "(__import__('time').sleep(0.02), {i: n for i in range(2_000)})[1]"
        assert Python.eval!(source, %{n: n}, pool: pool) == Map.new(0..1_999, &{&1, n})
      end,
      max_concurrency: 64,
      timeout: :infinity
    )
    |> Stream.run()
  end
end
