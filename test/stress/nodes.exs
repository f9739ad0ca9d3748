# Callers on one node and Python on another, for so many seconds:
#
#     ELIXIR_ERL_OPTIONS="-start_epmd false -erl_epmd_port 43210" mix run --no-compile test/stress/nodes.exs 600
#
# Each answer carries its request's number. Now and then the connection is lost. Ends with status 1 if an answer was lost, late by
# seconds or somebody else's, or if a process, a handle or a call is left over on either node. A further argument is the
# seed of an earlier run.

for file <- ~w(book gauge course) do
  Code.require_file("#{file}.exs", __DIR__)
end

Code.require_file("../../bench/support/far.exs", __DIR__)

defmodule Stress.Nodes do
  alias Bench.Far
  alias Python.{NotStartedError, StoppedError, TimeoutError}
  alias Python.Remote.Handles
  alias Stress.{Book, Course, Gauge}

  @pool Stress.There
  @clients 32
  # An operation that takes longer hangs, in ms.
  @hangs 60_000
  # How long things may take to come to rest, in ms.
  @rest 30_000
  # How often the connection is lost, in ms.
  @apart 4_000

  @kinds [
    echo: 60,
    fail: 10,
    data: 10,
    large: 3,
    stream: 8,
    stream_halted: 6,
    callback: 8,
    handle: 15,
    handed_on: 5,
    async: 8,
    managed: 5,
    killed: 6,
    cancelled: 6,
    timeout: 6
  ]

  def run(seconds, seed) do
    IO.puts("#{seconds} s, seed #{seed}, Python #{Python.info().python_version}")
    Book.open()
    there = start()
    before = reading(there)
    stop_at = Course.now() + seconds * 1_000
    breaker = spawn_link(fn -> break(there, stop_at) end)

    readings = Course.callers(@clients, @kinds, seed, stop_at, @hangs, &operation(&1, there))

    Process.unlink(breaker)
    Process.exit(breaker, :kill)
    Far.connect(there)
    nothing_left(there, before)
    Course.report(readings, Gauge.growth(readings, 64 * 1_048_576))
  end

  ## The other node

  defp start do
    there = Far.start(paths: [__DIR__])

    {:ok, _} =
      on(there, Supervisor, :start_child, [
        Python.Supervisor,
        {Python.Pool, name: @pool, size: 4, init: "import processes, threading"}
      ])

    there
  end

  defp on(there, module, function, arguments), do: Far.call(there, module, function, arguments)

  defp break(there, stop_at) do
    Process.sleep(@apart)

    if Course.now() < stop_at do
      Node.disconnect(there.node)
      Process.sleep(50)
      Far.connect(there)
      break(there, stop_at)
    end
  end

  ## Clients

  defp operation(kind, there),
    do: Course.operation(kind, there.node, &do_it(kind, &1, {@pool, there.node}))

  # The connection is lost now and then.
  defp is(same, same), do: :ok
  defp is({:error, %StoppedError{reason: :worker_down}}, _expected), do: :lost
  defp is({:error, %NotStartedError{details: %{node: _}}}, _expected), do: :lost
  defp is(given, expected), do: wrong(expected, given)

  # A handle of before is gone with the connection.
  defp is_held({:error, %Python.Error{type: "TypeError"}}, _expected), do: :gone
  defp is_held({:error, %Python.EncodeError{}}, _expected), do: :gone
  defp is_held({:error, %ArgumentError{}}, _expected), do: :gone
  defp is_held(given, expected), do: is(given, expected)

  defp call(name, arguments, pool, options \\ []),
    do: Python.call(:processes, name, arguments, [pool: pool, timeout: 50_000] ++ options)

  defp do_it(:echo, n, pool), do: is(call(:echo, [n], pool), {:ok, n})

  defp do_it(:fail, n, pool) do
    case call(:fail, [n], pool) do
      {:error, %Python.Error{type: "ValueError"} = error} -> is(error.message, "#{n}")
      other -> is(other, "the ValueError #{n}")
    end
  end

  defp do_it(:data, n, pool) do
    data = %{"n" => n, "rows" => for(i <- 1..random(300), do: [i, i / 2, {i, nil, "ä#{n}"}])}
    is(call(:echo, [data], pool), {:ok, data})
  end

  defp do_it(:large, n, pool) do
    size = 100_000 + random(3_000_000)
    bytes = :binary.copy(<<rem(n, 256)>>, size)

    with :ok <- is(call(:size, [{:bytes, bytes}], pool), {:ok, size}),
         do: is(call(:large, [size, rem(n, 256)], pool), {:ok, bytes})
  end

  defp do_it(:stream, n, pool) do
    count = random(20_000)
    stream = Python.stream(:processes, :items, [n, count], pool: pool, timeout: 50_000)
    is(rescued(fn -> Enum.to_list(stream) end), {:ok, for(i <- 0..(count - 1), do: {n, i})})
  end

  defp do_it(:stream_halted, n, pool) do
    stream = Python.stream(:processes, :items, [n, 1_000_000], pool: pool, timeout: 50_000)
    count = random(5_000)
    is(rescued(fn -> Enum.take(stream, count) end), {:ok, for(i <- 0..(count - 1), do: {n, i})})
  end

  defp do_it(:callback, n, pool) do
    function = fn number ->
      case call(:echo, [number], pool) do
        {:ok, ^number} -> number + 1
        {:error, error} -> raise error
      end
    end

    case call(:back, [n, function], pool) do
      # The connection was lost while Python waited for it.
      {:error, %Python.Error{}} -> :lost
      other -> is(other, {:ok, n + 1})
    end
  end

  defp do_it(:handle, n, pool) do
    case call(:Thing, [n], pool, return: :object) do
      {:ok, thing} -> is_held(Python.call(thing, :get, [], timeout: 50_000), {:ok, n})
      other -> is(other, "a handle")
    end
  end

  # The process that has got it is gone before it is used.
  defp do_it(:handed_on, n, pool) do
    client = self()

    {_, monitor} =
      spawn_monitor(fn -> send(client, {:thing, call(:Thing, [n], pool, return: :object)}) end)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    end

    receive do
      {:thing, {:ok, thing}} ->
        if rem(n, 2) == 0, do: :erlang.garbage_collect()
        is_held(Python.call(thing, :get, [], timeout: 50_000), {:ok, n})

      {:thing, other} ->
        is(other, "a handle")
    end
  end

  defp do_it(:async, n, pool) do
    calls =
      for i <- 1..random(8),
          do: {i, rescued(fn -> async(:echo, [n * 100 + i], pool) end)}

    Enum.reduce(calls, :ok, fn
      {i, {:ok, call}}, outcome ->
        case is(Python.await(call, 50_000), {:ok, n * 100 + i}) do
          :ok -> outcome
          other -> other
        end

      {_, error}, _outcome ->
        is(error, "a call")
    end)
  end

  defp do_it(:managed, n, pool) do
    with {:ok, lock} <- Python.call(:threading, :Lock, [], pool: pool, return: :object) do
      body = fn _ ->
        case call(:echo, [n], pool) do
          {:ok, value} -> value
          {:error, error} -> raise error
        end
      end

      is_held(rescued(fn -> Python.with(lock, body) end), {:ok, n})
    else
      other -> is(other, "a lock")
    end
  end

  defp do_it(:killed, n, pool) do
    {name, arguments} = Enum.random(spin: [], echo: [n])
    {pid, monitor} = spawn_monitor(fn -> call(name, arguments, pool) end)
    Process.sleep(random(10))
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :killed
    end
  end

  defp do_it(:cancelled, _n, pool) do
    case rescued(fn -> async(:spin, [], pool) end) do
      {:ok, call} ->
        Process.sleep(random(5))
        :ok = Python.cancel(call)
        :cancelled

      error ->
        is(error, "a call")
    end
  end

  defp do_it(:timeout, _n, pool) do
    case Course.with_timeout(&call(:spin, [], pool, timeout: &1)) do
      {:error, %TimeoutError{}} -> :timeout
      other -> is(other, "a timeout")
    end
  end

  defp async(name, arguments, pool),
    do: Python.call_async(:processes, name, arguments, pool: pool, timeout: 50_000)

  defp rescued(function) do
    {:ok, function.()}
  rescue
    error -> {:error, error}
  end

  defp random(most), do: :rand.uniform(most)

  defp wrong(expected, given) do
    shown = &inspect(&1, limit: 8, printable_limit: 200)
    throw({:wrong, "expected #{shown.(expected)}, got #{shown.(given)}"})
  end

  ## The end

  defp nothing_left(there, before) do
    Course.wait("the pool is at rest", @rest, fn ->
      stats = on(there, Python.Pool, :stats, [@pool])
      {stats.busy == 0 and stats.queued == 0 and stats.stuck == 0, stats}
    end)

    keys = [:near, :far, :standing_near, :standing_far]
    Course.as_before(keys, before, @rest, fn -> reading(there) end)
  end

  # What each node keeps for the other and holds of it, and the processes that stand for one there.
  defp reading(there) do
    far = on(there, Process, :list, [])
    for pid <- Process.list(), do: :erlang.garbage_collect(pid)
    for pid <- far, do: on(there, :erlang, :garbage_collect, [pid])

    %{
      near: Handles.count(),
      far: on(there, Handles, :count, []),
      standing_near: standing(Process.list(), &Process.info/2),
      standing_far: standing(far, &on(there, Process, :info, [&1, &2]))
    }
  end

  @standing for part <- ~w(Proxy Feed Hold Far Start Watch),
                do: Module.concat(Python.Remote, part)

  defp standing(pids, info) do
    Enum.count(pids, fn pid ->
      with [{_, {module, _, _}}, {_, stacktrace}] <-
             info.(pid, [:initial_call, :current_stacktrace]) do
        Enum.any?([module | Enum.map(stacktrace, &elem(&1, 0))], &(&1 in @standing))
      else
        nil -> false
      end
    end)
  end
end

# Reports of connections would fill the screen.
:logger.set_primary_config(:level, :critical)
Stress.Course.main(&Stress.Nodes.run/2)
