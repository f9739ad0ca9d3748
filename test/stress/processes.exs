# Callers of Python processes that do their worst, for so many seconds:
#
#     mix run test/stress/processes.exs 600
#
# Each answer carries its request's number. Ends with status 1 if an answer was lost, late by seconds or somebody
# else's, if a crash was told to another call than its own, or if a process, a descriptor, a mapping, a thread or memory is
# left over. A further argument is the seed of an earlier run.

for file <- ~w(book gauge course) do
  Code.require_file("#{file}.exs", __DIR__)
end

defmodule Stress.Processes do
  alias Python.{CrashedError, Pool, StoppedError, TimeoutError}
  alias Stress.{Book, Course, Gauge}

  # Workers of the first crash by their own calls only, those of the second are killed from outside, those of the third
  # are replaced all the time.
  @own Stress.Own
  @shot Stress.Shot
  @worn Stress.Worn

  @variable "ERLANG_PYTHON_STRESS"
  @clients 24
  # An operation that takes longer hangs, in ms.
  @hangs 60_000
  # How long things may take to come to rest, in ms.
  @rest 30_000
  # The descriptors that a link has.
  @open ~r/socket|pipe|pidfd|memfd/

  @kinds [
    echo: 60,
    fail: 10,
    data: 10,
    large: 4,
    stream: 8,
    stream_halted: 4,
    stream_crashes: 2,
    callback: 8,
    handle: 10,
    async: 8,
    killed: 5,
    cancelled: 5,
    timeout: 3,
    stubborn: 1,
    crash: 10,
    child: 2,
    context: 1,
    context_crashes: 1
  ]

  def run(seconds, seed) do
    IO.puts("#{seconds} s, seed #{seed}, Python #{Python.info().python_version}")
    Book.open()
    mark = "#{System.pid()}-#{seed}"
    before = reading()

    {:ok, supervisor} =
      Supervisor.start_link(pools(mark), strategy: :one_for_one, max_restarts: 0)

    stop_at = Course.now() + seconds * 1_000
    shooter = spawn_link(fn -> shoot(stop_at) end)

    readings = Course.callers(@clients, @kinds, seed, stop_at, @hangs, &operation(&1, mark))

    Process.unlink(shooter)
    Process.exit(shooter, :kill)
    for pool <- [@own, @shot, @worn], do: Course.at_rest(pool, @rest)
    Supervisor.stop(supervisor)
    nothing_left(mark, before)
    report(readings)
  end

  defp pools(mark) do
    env = %{@variable => mark, "PYTHONPATH" => __DIR__}
    common = [engine: :process, env: env, kill_after: 100, init: "import processes"]

    for {name, options} <- [
          {@own, size: 3, spares: 1},
          {@shot, size: 3},
          {@worn, size: 2, max_calls: 40, max_memory: 400_000_000}
        ] do
      Supervisor.child_spec({Pool, [name: name] ++ options ++ common}, id: name)
    end
  end

  ## Clients

  defp operation(kind, mark) do
    pool = pool(kind)
    Course.operation(kind, pool, &do_it(kind, &1, pool, mark))
  end

  # A worker that waits for a callback runs other calls besides, and its end is that of all of them: so nothing in this
  # pool crashes a worker, or has it killed.
  defp pool(:callback), do: @worn

  defp pool(kind) when kind in [:crash, :stream_crashes, :stubborn],
    do: Enum.random([@own, @shot])

  defp pool(_kind), do: Enum.random([@own, @own, @shot, @worn])

  # What is killed from outside fails whatever it was at.
  defp is(same, same, _pool), do: :ok

  defp is({:error, %CrashedError{signal: :sigkill}}, _expected, @shot), do: :shot
  defp is(given, expected, _pool), do: wrong(expected, given)

  # What needs a worker that it has been at before: it may be gone.
  defp is_bound({:error, %StoppedError{}}, _expected, _pool), do: :gone
  defp is_bound(given, expected, pool), do: is(given, expected, pool)

  defp call(name, arguments, pool, options \\ []),
    do: Python.call(:processes, name, arguments, [pool: pool, timeout: 50_000] ++ options)

  defp do_it(:echo, n, pool, _), do: is(call(:echo, [n], pool), {:ok, n}, pool)

  defp do_it(:fail, n, pool, _) do
    case call(:fail, [n], pool) do
      {:error, %Python.Error{type: "ValueError"} = error} -> is(error.message, "#{n}", pool)
      other -> is(other, "the ValueError #{n}", pool)
    end
  end

  defp do_it(:data, n, pool, _) do
    data = %{"n" => n, "rows" => for(i <- 1..random(300), do: [i, i / 2, {i, nil, "ä#{n}"}])}
    is(call(:echo, [data], pool), {:ok, data}, pool)
  end

  defp do_it(:large, n, pool, _) do
    bytes = :binary.copy(<<rem(n, 256)>>, 100_000 + random(3_000_000))

    with :ok <- is(call(:size, [{:bytes, bytes}], pool), {:ok, byte_size(bytes)}, pool),
         do: is(call(:large, [byte_size(bytes), rem(n, 256)], pool), {:ok, bytes}, pool)
  end

  defp do_it(:stream, n, pool, _) do
    count = random(2_000)
    is_bound(all(:items, [n, count], pool), {:ok, for(i <- 0..(count - 1), do: {n, i})}, pool)
  end

  defp do_it(:stream_halted, n, pool, _) do
    stream = Python.stream(:processes, :items, [n, 1_000_000], pool: pool, timeout: 50_000)
    count = random(50)
    expected = {:ok, for(i <- 0..(count - 1), do: {n, i})}
    is_bound(rescued(fn -> Enum.take(stream, count) end), expected, pool)
  end

  defp do_it(:stream_crashes, n, pool, _) do
    status = rem(n, 200)

    case all(:items_that_crash, [n, random(200)], pool) do
      {:error, %CrashedError{exit_status: ^status}} -> :crashed
      other -> is_bound(other, "a crash with #{status}", pool)
    end
  end

  defp do_it(:callback, n, pool, _) do
    function = fn number ->
      {:ok, ^number} = call(:echo, [number], pool)
      number + 1
    end

    is(call(:back, [n, function], pool), {:ok, n + 1}, pool)
  end

  defp do_it(:handle, n, pool, _) do
    case call(:Thing, [n], pool, return: :object) do
      {:ok, thing} ->
        is_bound(Python.call(thing, :get, [], timeout: 50_000), {:ok, n}, pool)

      other ->
        is(other, "a handle", pool)
    end
  end

  defp do_it(:async, n, pool, _) do
    calls = for i <- 1..random(8), do: {i, async(:echo, [n * 100 + i], pool)}

    Enum.reduce(calls, :ok, fn {i, call}, outcome ->
      case is(Python.await(call, 50_000), {:ok, n * 100 + i}, pool) do
        :ok -> outcome
        other -> other
      end
    end)
  end

  defp do_it(:killed, n, pool, _) do
    # What cannot be interrupted has its worker killed.
    hold = if pool == @worn, do: [], else: [hold: []]
    {name, arguments} = Enum.random([spin: [], echo: [n]] ++ hold)
    {pid, monitor} = spawn_monitor(fn -> call(name, arguments, pool) end)

    Process.sleep(random(10))
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :killed
    end
  end

  defp do_it(:cancelled, _n, pool, _) do
    call = async(:spin, [], pool)
    Process.sleep(random(5))
    :ok = Python.cancel(call)
    :cancelled
  end

  defp do_it(:timeout, _n, pool, _), do: in_time(:spin, pool)
  defp do_it(:stubborn, _n, pool, _), do: in_time(:hold, pool)

  defp do_it(:crash, n, pool, _) do
    how = Enum.random(~w(exit segv abort kill fork))
    status = if how in ["exit", "fork"], do: rem(n, 200)
    signal = %{"segv" => :sigsegv, "abort" => :sigabrt, "kill" => :sigkill}[how]

    case call(:crash, [how, n], pool) do
      {:error, %CrashedError{signal: ^signal, exit_status: ^status}} -> :crashed
      other -> is(other, "a crash by #{how}", pool)
    end
  end

  defp do_it(:child, n, pool, _), do: is(call(:child, [rem(n, 2) == 0], pool), {:ok, nil}, pool)

  defp do_it(:context, n, _pool, mark) do
    {:ok, context} = context(mark)
    result = Python.eval("processes.echo(n)", %{n: n}, context: context, timeout: 50_000)
    Python.Context.stop(context)
    is(result, {:ok, n}, nil)
  end

  defp do_it(:context_crashes, n, _pool, mark) do
    {:ok, context} = context(mark)
    Process.unlink(context.pid)
    result = Python.eval("processes.crash('exit', n)", %{n: n}, context: context, timeout: 50_000)
    Python.Context.stop(context)
    status = rem(n, 200)

    case result do
      {:error, %CrashedError{exit_status: ^status}} -> :crashed
      other -> wrong("a crash with #{status}", other)
    end
  end

  defp context(mark) do
    env = %{@variable => mark, "PYTHONPATH" => __DIR__}
    Python.Context.start_link(engine: :process, env: env, init: "import processes")
  end

  defp async(name, arguments, pool),
    do: Python.call_async(:processes, name, arguments, pool: pool, timeout: 50_000)

  defp all(name, arguments, pool) do
    stream = Python.stream(:processes, name, arguments, pool: pool, timeout: 50_000)
    rescued(fn -> Enum.to_list(stream) end)
  end

  defp rescued(function) do
    {:ok, function.()}
  rescue
    error -> {:error, error}
  end

  defp in_time(name, pool) do
    case Course.with_timeout(&call(name, [], pool, timeout: &1)) do
      {:error, %TimeoutError{}} -> :timeout
      other -> is(other, "a timeout", pool)
    end
  end

  defp random(most), do: :rand.uniform(most)

  defp wrong(expected, given) do
    shown = &inspect(&1, limit: 8, printable_limit: 200)
    throw({:wrong, "expected #{shown.(expected)}, got #{shown.(given)}"})
  end

  # Kills Python processes from outside.
  defp shoot(stop_at) do
    Process.sleep(100 + random(400))

    with [_ | _] = os_pids <- for(%{os_pid: pid} when pid != nil <- Pool.workers(@shot), do: pid) do
      System.cmd("kill", ["-KILL", "#{Enum.random(os_pids)}"], stderr_to_stdout: true)
    end

    if Course.now() < stop_at, do: shoot(stop_at)
  end

  ## The end

  defp nothing_left(mark, before) do
    Course.wait("no process of Python's is left", @rest, fn ->
      left = marked(mark)
      {left == [], left}
    end)

    keys = [:descriptors, :mappings, :threads, :processes]
    Course.as_before(keys, before, @rest, &reading/0)

    # Of a segment, or of memory for large values; or all that one link has.
    if Book.wrongs() != [] do
      IO.inspect(shared(), label: "shared memory")
      IO.inspect(before.open, label: "open before")
      IO.inspect(Course.open(@open), label: "open")
    end
  end

  defp reading do
    # The thread that starts processes stays, and so do those of the VM's own files.
    Python.Engine.Process.status()

    %{
      processes: length(Process.list()),
      # Threads and descriptors of others come and go.
      threads: Course.threads(~r/^py_link/),
      descriptors: Course.descriptors(@open),
      open: Course.open(@open),
      mappings: mappings()
    }
  end

  # Memory that is shared with Python processes.
  defp mappings, do: if(shared = shared(), do: length(shared))

  defp shared do
    with {:ok, maps} <- File.read("/proc/self/maps") do
      maps |> String.split("\n") |> Enum.filter(&(&1 =~ ~r"memfd:(erlang_python|python_calls)"))
    else
      _ -> nil
    end
  end

  defp marked(mark) do
    for path <- Path.wildcard("/proc/[0-9]*/environ"),
        {:ok, environment} <- [File.read(path)],
        "#{@variable}=#{mark}" in String.split(environment, <<0>>),
        do: path
  end

  defp report(readings) do
    # A short run is still warming up.
    allowance = if length(readings) < 120, do: 64, else: 16
    Course.report(readings, Gauge.growth(readings, allowance * 1_048_576))
  end
end

# Reports of crashes would fill the screen.
:logger.set_primary_config(:level, :error)
Stress.Course.main(&Stress.Processes.run/2)
