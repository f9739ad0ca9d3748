defmodule Python.Engine.Asyncio.OutputTest do
  # What code in an event loop prints: a reader that is slow holds up the calls that print for it, and not the loop.
  use Python.LoopCase, async: false

  alias Python.{Pool, TimeoutError}

  # A group leader that tells what it has been given.
  defp leader(owner), do: start(fn -> serve(owner) end)

  defp serve(owner) do
    receive do
      {:io_request, from, reference, {:put_chars, _encoding, text}} ->
        send(owner, {:text, self(), IO.chardata_to_string(text)})
        send(from, {:io_reply, reference, :ok})
        serve(owner)

      {:io_request, from, reference, {:put_chars, _encoding, module, function, args}} ->
        send(owner, {:text, self(), IO.chardata_to_string(apply(module, function, args))})
        send(from, {:io_reply, reference, :ok})
        serve(owner)

      {:io_request, from, reference, _other} ->
        send(from, {:io_reply, reference, {:error, :enotsup}})
        serve(owner)
    end
  end

  defp printing(leader, code, options) do
    Task.async(fn ->
      Process.group_leader(self(), leader)
      Python.exec(code, options)
    end)
  end

  defp printed(leader, text \\ "") do
    receive do
      {:text, ^leader, more} -> printed(leader, text <> more)
    after
      0 -> text
    end
  end

  # Nobody asks it whether it is a terminal but the first time.
  defp known(leader, pool) do
    Task.await(printing(leader, "print('known')", pool: pool, timeout: 20_000))
    assert printed(leader) == "known\n"
  end

  setup do
    Python.exec!("import asyncio")
    {:ok, pool: start_loop()}
  end

  @forms [
    plain: "for n in range(3): print('line', n)",
    coroutine:
      "await asyncio.sleep(0)\nprint('line 0')\nawait asyncio.sleep(0)\nprint('line 1\\nline 2')",
    errors: "import sys\nprint('line 0')\nsys.stdout.flush()\nprint('line 1')\nprint('line 2')"
  ]

  for {form, code} <- @forms do
    test "the loop goes on while a reader does not read, and the call waits for it: #{form}",
         %{pool: pool} do
      leader = leader(self())
      known(leader, pool)
      :erlang.suspend_process(leader)
      call = printing(leader, unquote(code), pool: pool, timeout: 40_000)

      for n <- 1..50, do: assert(on_loop(pool, :answer, [n], timeout: 20_000) == {:ok, n})
      refute Task.yield(call, 50)
      assert %{busy: 1} = Pool.stats(pool)

      :erlang.resume_process(leader)
      assert Task.await(call, 20_000) == :ok
      # It was there before the answer.
      assert printed(leader) == "line 0\nline 1\nline 2\n"
      eventually_no_tasks(pool)
    end
  end

  test "many calls print in order, each before its answer", %{pool: pool} do
    code = """
    for n in range(40):
        print(n)
        if n % 7 == 0: await asyncio.sleep(0.001)
    """

    expected = Enum.map_join(0..39, &"#{&1}\n")

    1..20
    |> Enum.map(fn _ ->
      Task.async(fn ->
        {:ok, device} = StringIO.open("")
        Process.group_leader(self(), device)
        assert Python.exec(code, pool: pool, timeout: 20_000) == :ok
        assert elem(StringIO.contents(device), 1) == expected
      end)
    end)
    |> Task.await_many(40_000)
  end

  test "a timeout ends a call that waits for a reader", %{pool: pool} do
    leader = leader(self())
    known(leader, pool)
    :erlang.suspend_process(leader)
    call = printing(leader, "print('x')", pool: pool, timeout: 100)
    assert {:error, %TimeoutError{}} = Task.await(call, 20_000)
    eventually("nothing is left of it", fn -> Pool.stats(pool).busy == 0 end)
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
    assert %{stuck: 0, queued: 0, workers: 1} = Pool.stats(pool)
    :erlang.resume_process(leader)
  end

  test "a reader that dies ends the wait, and so does one that was dead", %{pool: pool} do
    leader = leader(self())
    known(leader, pool)
    :erlang.suspend_process(leader)
    call = printing(leader, "print('x')", pool: pool, timeout: 40_000)
    refute Task.yield(call, 100)
    Process.exit(leader, :kill)
    assert Task.await(call, 20_000) == :ok

    call = printing(leader, "await asyncio.sleep(0)\nprint('x')", pool: pool, timeout: 40_000)
    assert Task.await(call, 20_000) == :ok
    eventually_no_tasks(pool)
  end

  test "a pool that stops does not wait for a reader", %{pool: pool} do
    leader = leader(self())
    known(leader, pool)
    :erlang.suspend_process(leader)
    call = printing(leader, "print('x')", pool: pool, timeout: :infinity)
    eventually("it waits", fn -> Pool.stats(pool).busy == 1 end)
    {ms, _} = timed(fn -> stop_supervised!(pool) end)
    assert ms < 10_000
    assert {:error, %Python.StoppedError{}} = Task.await(call)
    :erlang.resume_process(leader)
  end

  test "what is printed before a function is called is there first", %{pool: pool} do
    {:ok, device} = StringIO.open("")

    call =
      Task.async(fn ->
        Process.group_leader(self(), device)
        seen = fn -> elem(StringIO.contents(device), 1) end
        Python.eval("[print('before'), await seen()][1]", %{seen: seen}, pool: pool)
      end)

    assert Task.await(call, 20_000) == {:ok, "before\n"}
  end

  test "there is a bound to what waits for a reader: then the code that prints waits", %{
    pool: pool
  } do
    leader = leader(self())
    known(leader, pool)
    :erlang.suspend_process(leader)
    code = "for _ in range(300): print('x' * 10_000)"
    call = printing(leader, code, pool: pool, timeout: 40_000)
    # Three MB are not kept for it.
    refute Task.yield(call, 200)
    :erlang.resume_process(leader)
    assert Task.await(call, 20_000) == :ok
    assert byte_size(printed(leader)) == 300 * 10_001
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
  end

  test "items of a stream come after what was printed for them", %{pool: pool} do
    {:ok, device} = StringIO.open("")

    Python.exec!("""
    async def printing_items():
        for n in range(3):
            print(n)
            yield n
    """)

    reader =
      Task.async(fn ->
        Process.group_leader(self(), device)

        items =
          Python.stream(:__main__, :printing_items, [], pool: pool, max_chunk: 1, prefetch: 0)

        Enum.map(items, fn n -> {n, elem(StringIO.contents(device), 1)} end)
      end)

    for {n, text} <- Task.await(reader, 20_000), do: assert(text =~ "#{n}\n")
  end
end
