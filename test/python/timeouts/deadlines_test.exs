defmodule Python.Timeouts.DeadlinesTest do
  # When callers have their errors, and what these say. Alone: it measures time, and some of it takes the
  # interpreter for itself.
  use Python.EngineCase

  import Python.Lateness
  import Python.Notes, only: [new_name: 0]

  alias Python.{Pool, StoppedError, TimeoutError}

  setup do
    Python.SupportModules.find()
    Python.import!(:production)
    :ok
  end

  defp median(numbers), do: numbers |> Enum.sort() |> Enum.at(div(length(numbers), 2))

  describe "a caller has its TimeoutError when it is due, with Python" do
    for {what, {module, name, args}} <- [
          {"in a loop", {:production, :spin, []}},
          {"in a list that is made without end", {:production, :comprehend, []}},
          {"in a C function that calls Python without end", {:production, :all_of_them, []}},
          {"in a C function that keeps the interpreter to itself",
           {:production, :sum_for, [0.3]}},
          {"in time.sleep", {:production, :sleep, []}},
          {"in time.sleep, called from Elixir", {:time, :sleep, [1]}},
          {"at a socket that nobody writes to", {:production, :read_socket, []}},
          {"in a read that blocks", {:production, :read_pipe, []}},
          {"at a lock that nobody gives back", {:production, :take_lock, []}},
          {"at an event that nobody sets", {:production, :wait_for_event, []}}
        ] do
      test what do
        call = fn pool ->
          options = [pool: pool, timeout: 60]
          fn -> Python.call(unquote(module), unquote(name), unquote(args), options) end
        end

        pool = start_pool(size: 2)
        late = for _ <- 1..9, do: elem(late(60, call.(pool)), 0)

        # `make stress` says how late they are. Here other programs may have the machine: it is shown
        # that callers do not wait for Python.
        assert median(late) < slack()
        # The pool is at full strength, whatever has become of those.
        assert Python.call(:production, :echo, [1], pool: pool, timeout: 20_000) == {:ok, 1}
        assert %{workers: 2, timed_out: 9} = Pool.stats(pool)
        eventually_idle(pool)
        assert messages() == []

        # With one worker, whatever is left behind is in the way of the next call.
        pool = start_pool()
        error = assert_times_out(60, call.(pool))
        assert error.reason == :running
        assert_works_at_once(pool)
        eventually_idle(pool)
      end
    end

    @tag blocks: "a plain function waits for Elixir"
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

      assert median(late) < slack()
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

  describe "once its time is over, what a call has called Elixir for" do
    test "gets no answer from Python any more, though it has all the time itself" do
      test = self()
      pool = start_pool()

      function = fn ->
        send(test, {:function, self()})
        receive do: (:go_on -> :ok)
        send(test, {:inner, Python.call(:production, :wait, [], pool: pool, timeout: :infinity)})
      end

      options = [pool: pool, timeout: 60]
      Python.call!(:production, :echo, [1], pool: pool)
      assert {:error, %TimeoutError{}} = Python.call(:production, :call, [function], options)
      assert_receive {:function, pid}, 20_000
      eventually_idle(pool)
      send(pid, :go_on)
      assert_receive {:inner, {:error, %StoppedError{reason: :outer_ended}}}, 20_000
      eventually_idle(pool)
    end

    @tag blocks: "a plain function waits for Elixir"
    test "leaves nothing behind, at whatever moment that is" do
      # The first calls of a worker take longer than the others.
      for _ <- 1..8 do
        pool = start_pool()
        inner = fn -> Python.call(:production, :wait, [], pool: pool, timeout: :infinity) end
        outer = fn -> Python.call(:production, :call, [inner], pool: pool, timeout: :infinity) end

        for round <- 1..20 do
          options = [pool: pool, timeout: rem(round, 8) + 1]
          assert {:error, %TimeoutError{}} = Python.call(:production, :call, [outer], options)
        end

        eventually_idle(pool)
        assert Python.call(:production, :echo, [1], pool: pool) == {:ok, 1}
      end
    end
  end

  @tag blocks: "a plain function waits for Elixir"
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

  describe "the TimeoutError" do
    # It is told within 25 ms or not at all, and the processors may have others to serve.
    defp eventually_located(module, name, args) do
      options = [pool: start_pool(), timeout: 50]
      # A process of its own has not imported it yet.
      Python.call!(:production, :echo, [1], pool: options[:pool])

      eventually("it is told where Python was", fn ->
        assert {:error, %TimeoutError{} = error} = Python.call(module, name, args, options)
        error.location && error
      end)
    end

    test "says where Python was, in code that came as text" do
      name = define("def NAME():\n    while True:\n        x = 1")
      error = eventually_located(:__main__, name, [])
      assert %{function: ^name, line: line, code: code} = error.location
      assert line in 2..3
      assert code in ["while True:", "x = 1"]
      assert Exception.message(error) =~ name
      assert Exception.message(error) =~ "50 ms"
    end

    test "says where Python was, in a file" do
      error = eventually_located(:production, :guarded, [new_name()])

      assert %{function: "wait", line: line, file: file, code: "time.sleep(0.001)"} =
               error.location

      assert Path.basename(file) == "production.py"
      text = File.read!(file) |> String.split("\n") |> Enum.at(line - 1)
      assert text =~ "time.sleep(0.001)"

      assert Exception.message(error) =~
               "within its timeout of 50 ms; Python was at #{file}:#{line} in wait: time.sleep(0.001)"
    end

    test "is raised by call!" do
      assert_raise TimeoutError, ~r/20 ms/, fn ->
        Python.call!(:time, :sleep, [5], pool: start_pool(), timeout: 20)
      end
    end
  end

  test "200 endless loops, one after the other, leave a pool of 2 that works at once" do
    pool = start_pool(size: 2)

    # Two at a time, so that each meets what the one before it has left of its worker.
    late =
      1..2
      |> Enum.map(fn _ ->
        Task.async(fn ->
          for _ <- 1..100 do
            options = [pool: pool, timeout: 30]
            {late, _} = late(30, fn -> Python.call(:production, :spin, [], options) end)
            late
          end
        end)
      end)
      |> Task.await_many(60_000)
      |> Enum.concat()

    assert median(late) < slack()
    assert Enum.max(late) < 5_000
    {ms, result} = timed(fn -> Python.call(:production, :echo, [201], pool: pool) end)
    assert result == {:ok, 201}
    assert ms < slack()
    eventually_idle(pool)
    assert %{workers: 2, timed_out: 200} = Pool.stats(pool)
  end

  test "10,000 deadlines that come as the answer does leave nothing behind" do
    pool = start_pool(size: 4)
    other = start_pool()

    # No interrupt is another pool's.
    neighbour =
      Task.async(fn ->
        for n <- 1..400, do: {n, Python.call(:production, :until, [0.001, n], pool: other)}
      end)

    {results, strays} =
      1..8
      |> Enum.map(fn client ->
        Task.async(fn ->
          results =
            for n <- 1..times(1_250, 5_000) do
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
      |> Task.await_many(times(60_000, 600_000))
      |> Enum.unzip()

    for {n, result} <- Task.await(neighbour, 60_000), do: assert(result == {:ok, n})

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

  @tag engine: :main
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
