defmodule Python.Timeouts.DeadlinesTest do
  # Alone: it measures time, and some of it takes the interpreter for itself.
  use Python.TestCase

  alias Python.{Pool, TimeoutError}

  setup do
    Python.SupportModules.find()
    Python.import!(:production)
    :ok
  end

  defp late(timeout, fun) do
    {ms, result} = timed(fun)
    assert {:error, %TimeoutError{timeout: ^timeout} = error} = result
    {ms - timeout, error}
  end

  defp median(numbers), do: numbers |> Enum.sort() |> Enum.at(div(length(numbers), 2))

  # How late a timer of this machine is just now, beyond what it is on one that has nothing to do. A
  # call has to be on time beyond that.
  defp lateness_of_timers do
    Enum.max(for _ <- 1..20, do: elem(timed(fn -> Process.sleep(5) end), 0) - 5)
  end

  describe "a caller has its TimeoutError when it is due, with Python" do
    for {what, {name, args}} <- [
          {"in a loop", {:spin, []}},
          {"in a C function that keeps the interpreter to itself", {:sum_of, [24_000_000]}},
          {"in time.sleep", {:sleep, []}},
          {"at a socket that nobody writes to", {:read_socket, []}},
          {"at a lock that nobody gives back", {:take_lock, []}},
          {"at an event that nobody sets", {:wait_for_event, []}}
        ] do
      test what do
        pool = start_pool(size: 2)

        late =
          for _ <- 1..9 do
            options = [pool: pool, timeout: 60]
            call = fn -> Python.call(:production, unquote(name), unquote(args), options) end
            {late, _} = late(60, call)
            late
          end

        # `make stress` says how late they are. Here other programs may have the machine: it is shown
        # that callers do not wait for Python.
        assert median(late) < 1_000 + 10 * lateness_of_timers()
        # The pool is at full strength, whatever has become of those.
        assert Python.call(:production, :echo, [1], pool: pool, timeout: 20_000) == {:ok, 1}
        assert Pool.stats(pool).workers == 2
        eventually_idle(pool)
        assert messages() == []
      end
    end

    test "in a callback that is in Python" do
      pool = start_pool()
      options = [pool: pool, timeout: 60]
      inner = fn -> Python.call(:production, :wait, [], pool: pool, timeout: :infinity) end
      outer = fn -> Python.call(:production, :call, [inner], pool: pool, timeout: :infinity) end

      late =
        for _ <- 1..9 do
          {late, _} = late(60, fn -> Python.call(:production, :call, [outer], options) end)
          late
        end

      assert median(late) < 1_000 + 10 * lateness_of_timers()
      eventually_idle(pool)
      assert Python.call(:production, :echo, [1], pool: pool) == {:ok, 1}
      assert Pool.stats(pool).workers == 1
    end

    test "in a callback that never returns" do
      pool = start_pool()
      never = fn -> Process.sleep(:infinity) end

      {late, _} =
        late(60, fn -> Python.call(:production, :call, [never], pool: pool, timeout: 60) end)

      assert late < 5_000
      eventually_idle(pool)
      assert Python.call(:production, :echo, [1], pool: pool) == {:ok, 1}
    end
  end

  test "the innermost deadline comes first, and is an error that Python can handle" do
    pool = start_pool()
    inner = fn -> Python.call!(:production, :wait, [], pool: pool, timeout: 30) end

    code = """
    def NAME(function):
        import erlang
        try: function()
        except erlang.Error as error: return str(error)
    """

    assert {:ok, text} = Python.call(:__main__, define(code), [inner], pool: pool)
    assert text =~ "within its timeout of 30 ms"
  end

  test "the message says which line of Python was running" do
    {_, error} = late(50, fn -> Python.call(:production, :guarded, ["line"], timeout: 50) end)
    assert %{function: "wait", line: line, file: file, code: "time.sleep(0.001)"} = error.location
    assert Path.basename(file) == "production.py"
    text = File.read!(file) |> String.split("\n") |> Enum.at(line - 1)
    assert text =~ "time.sleep(0.001)"

    assert Exception.message(error) =~
             "within its timeout of 50 ms; Python was at #{file}:#{line} in wait: time.sleep(0.001)"
  end

  test "200 endless loops, one after the other, leave a pool of 2 that works at once" do
    pool = start_pool(size: 2)

    # Two at a time, so that each meets what the one before it has left of its worker.
    late =
      1..2
      |> Enum.map(fn _ ->
        Task.async(fn ->
          for _ <- 1..100 do
            options = [pool: pool, timeout: 100]
            {late, _} = late(100, fn -> Python.call(:production, :spin, [], options) end)
            late
          end
        end)
      end)
      |> Task.await_many(60_000)
      |> Enum.concat()

    assert median(late) < 1_000 + 10 * lateness_of_timers()
    assert Enum.max(late) < 5_000
    {ms, result} = timed(fn -> Python.call(:production, :echo, [201], pool: pool) end)
    assert result == {:ok, 201}
    assert ms < 1_000 + 10 * lateness_of_timers()
    eventually_idle(pool)
    assert %{workers: 2, timed_out: 200} = Pool.stats(pool)
  end

  test "10,000 deadlines that come as the answer does leave nothing behind" do
    pool = start_pool(size: 4)

    {results, strays} =
      1..8
      |> Enum.map(fn client ->
        Task.async(fn ->
          results =
            for n <- 1..1_250 do
              number = client * 10_000 + n
              timeout = :rand.uniform(4) - 1
              seconds = max(timeout / 1_000 + (:rand.uniform(11) - 8) / 10_000, 0.0)
              function = if rem(n, 2) == 0, do: :until, else: :nap
              options = [pool: pool, timeout: timeout]

              result =
                case Python.call(:production, function, [seconds, number], options) do
                  {:ok, ^number} -> :answered
                  {:error, %TimeoutError{timeout: ^timeout}} -> :timed_out
                  other -> {:wrong, number, other}
                end

              # What was meant for the call before would show in this one.
              if rem(n, 5) == 0 do
                assert Python.call(:production, :until, [0.0, -number],
                         pool: pool,
                         timeout: :infinity
                       ) == {:ok, -number}
              end

              result
            end

          {results, messages()}
        end)
      end)
      |> Task.await_many(60_000)
      |> Enum.unzip()

    results = results |> Enum.concat() |> Enum.frequencies()
    assert Map.keys(results) -- [:answered, :timed_out] == []
    assert results[:timed_out] > 100
    assert Enum.concat(strays) == []

    eventually_idle(pool)

    for n <- 1..500 do
      assert Python.call(:production, :until, [0.0005, n], pool: pool) == {:ok, n}
    end

    assert messages() == []
    assert Pool.stats(pool).workers == 4
  end

  test "64 calls sleep at the same time, and the VM reads and writes its files meanwhile" do
    pool = start_pool(size: 64)
    lock = Python.call!(:threading, :Lock)
    Python.call!(lock, :acquire)

    sleepers =
      for _ <- 1..64 do
        Task.async(fn -> Python.call(:production, :gate, [lock], pool: pool, timeout: 50_000) end)
      end

    eventually_busy(pool, 64)
    path = Path.join(System.tmp_dir!(), unique("file"))

    for n <- 1..200 do
      Task.await(
        Task.async(fn ->
          File.write!(path, "#{n}")
          assert File.read!(path) == "#{n}"
        end)
      )
    end

    File.rm!(path)
    assert Python.call(:production, :echo, [1]) == {:ok, 1}
    assert Pool.stats(pool).busy == 64
    Python.call!(lock, :release)
    assert Task.await_many(sleepers, 50_000) == List.duplicate({:ok, "done"}, 64)
  end
end
