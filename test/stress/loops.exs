# Callers of event loops that do their worst, for so many seconds, against an HTTP server in a process of its own:
#
#     mix run test/stress/loops.exs 300
#
# Each answer carries its request's number. Ends with status 1 if an answer was lost or somebody else's, or if a task, a
# coroutine, a request, a connection, a descriptor, a thread or memory is left over. A further argument is the seed of an earlier run.

for file <- ~w(book gauge course) do
  Code.require_file("#{file}.exs", __DIR__)
end

defmodule Stress.Loops do
  alias Python.{Error, Pool, TimeoutError}
  alias Stress.{Book, Course, Gauge}

  @callers 2_000
  @connections 200
  # An operation that takes longer hangs, in ms.
  @hangs 120_000
  # How long things may take to come to rest, in ms.
  @rest 60_000

  # The first has one loop, the second two.
  @pools [{Stress.One, size: 1}, {Stress.Two, size: 2}]

  @kinds [
    echo: 300,
    fail: 40,
    several: 20,
    map: 10,
    stream: 20,
    stream_halted: 15,
    back: 40,
    converse: 20,
    async: 30,
    background: 20,
    handle: 20,
    killed: 40,
    cancelled: 40,
    timeout: 40,
    swallow: 5,
    half_read: 5,
    in_thread: 5,
    code: 20,
    block: 2,
    spin: 1,
    context: 1
  ]

  def run(seconds, seed) do
    IO.puts("#{seconds} s, seed #{seed}, Python #{Python.info().python_version}")
    Book.open()
    {server, port} = start_server()
    Python.call!(:sys, "path.insert", [0, __DIR__])
    Python.exec!("import asyncio, loops")
    # What stays, once there has been a loop.
    warm_up()
    before = reading()

    {:ok, supervisor} = Supervisor.start_link(pools(), strategy: :one_for_one, max_restarts: 0)
    clients = Map.new(@pools, fn {pool, _} -> {pool, client(pool, port)} end)
    kind = Python.eval!("type(asyncio.get_running_loop()).__module__", pool: Stress.One)
    IO.puts("#{@callers} callers, loops of #{kind}")

    stop_at = Course.now() + seconds * 1_000

    readings = Course.callers(@callers, @kinds, seed, stop_at, @hangs, &operation(&1, clients))

    for {pool, client} <- clients, do: at_rest(pool, client)
    for {_, client} <- clients, do: Python.call!(client, :close)
    Supervisor.stop(supervisor)
    server_at_rest(port)
    Port.close(server)
    nothing_left(before)
    report(readings)
  end

  defp start_server do
    script = Path.join(__DIR__, "loops_server.py")
    python = String.to_charlist(Python.info().executable)

    server = Port.open({:spawn_executable, python}, [:binary, {:line, 100}, args: ["-u", script]])

    receive do
      {^server, {:data, {:eol, port}}} -> {server, String.to_integer(port)}
    after
      30_000 -> raise "the server does not start"
    end
  end

  defp warm_up do
    {:ok, pool} = Pool.start_link(name: Stress.Warm, engine: :asyncio, size: 2)

    for _ <- 1..10 do
      {:ok, 1} =
        Python.eval("await loops.in_thread(0, f)", %{f: fn 0 -> 1 end}, pool: Stress.Warm)
    end

    Supervisor.stop(pool)
  end

  defp pools do
    for {name, options} <- @pools do
      Supervisor.child_spec({Pool, [name: name, engine: :asyncio] ++ options}, id: name)
    end
  end

  # Objects belong to their loop: where there are two, each has a client of its own, which calls find there.
  defp client(Stress.One = pool, port),
    do: Python.call!(:loops, :client, [port, @connections], pool: pool)

  defp client(Stress.Two = pool, port),
    do: Python.call!(:loops, :clients, [port, @connections], pool: pool)

  ## Callers

  defp operation(kind, clients) do
    {pool, client} = Enum.random(clients)
    Course.operation(kind, pool, &do_it(kind, &1, pool, client))
  end

  defp is(same, same), do: :ok
  defp is(given, expected), do: wrong(expected, given)

  defp call(name, arguments, pool, options \\ []),
    do: Python.call(:loops, name, arguments, [pool: pool, timeout: @hangs] ++ options)

  defp do_it(:echo, n, pool, client), do: is(call(:echo, [client, n, random(20)], pool), {:ok, n})

  defp do_it(:fail, n, pool, client) do
    case call(:fail, [client, n], pool) do
      {:error, %Error{type: "ValueError"} = error} -> is(error.message, "#{n}")
      other -> wrong("the ValueError #{n}", other)
    end
  end

  defp do_it(:several, n, pool, client) do
    numbers = for i <- 1..random(10), do: n * 100 + i
    is(call(:several, [client, numbers], pool), {:ok, numbers})
  end

  defp do_it(:map, n, pool, client) do
    numbers = for i <- 1..random(10), do: n * 100 + i
    args = for number <- numbers, do: [client, number, 1]
    is(Python.map(:loops, :echo, args, pool: pool, timeout: @hangs), {:ok, numbers})
  end

  defp do_it(:stream, n, pool, client) do
    count = random(200)
    lines = Python.stream(client, :lines, [n, count], pool: pool, timeout: @hangs)
    is(rescued(fn -> Enum.to_list(lines) end), {:ok, for(i <- 0..(count - 1), do: "#{n} #{i}")})
  end

  defp do_it(:stream_halted, n, pool, client) do
    count = random(20)
    lines = Python.stream(client, :lines, [n, 100_000], pool: pool, timeout: @hangs)
    expected = {:ok, for(i <- 0..(count - 1), do: "#{n} #{i}")}
    is(rescued(fn -> Enum.take(lines, count) end), expected)
  end

  defp do_it(:back, n, pool, client) do
    function = fn number ->
      {:ok, ^number} = call(:echo, [client, number, 1], pool)
      number
    end

    is(call(:back, [client, n, function], pool), {:ok, 2 * n})
  end

  defp do_it(:converse, n, pool, _) do
    call = async(:converse, [n], pool)
    for i <- 1..10, do: Python.send(call, i)
    Python.send(call, nil)
    is(Python.await(call, @hangs), {:ok, n + 55})
  end

  defp do_it(:async, n, pool, client) do
    calls = for i <- 1..random(8), do: {n * 100 + i, async(:echo, [client, n * 100 + i, 1], pool)}
    for {expected, call} <- calls, do: is(Python.await(call, @hangs), {:ok, expected})
    :ok
  end

  defp do_it(:background, n, pool, client) do
    is(call(:background, [client, n, self()], pool), {:ok, n})
    own = self()

    receive do
      {"later", ^n, ^own} -> :ok
    after
      @hangs -> wrong("a message of the task", nil)
    end
  end

  # A task belongs to its loop, and another call may be on another one.
  defp do_it(:handle, _, Stress.Two, _), do: :left_out

  defp do_it(:handle, n, pool, _) do
    {:ok, [task]} = call(:future, [n], pool)
    is(Python.eval("await t", %{t: task}, pool: pool, timeout: @hangs), {:ok, n})
  end

  defp do_it(:killed, n, pool, client) do
    work =
      Enum.random([
        fn -> call(:echo, [client, n, 1_000], pool) end,
        fn -> call(:swallow, [client, n], pool) end,
        fn -> Python.stream(client, :lines, [n, 100_000], pool: pool) |> Stream.run() end,
        fn -> Python.eval("await f()", %{f: fn -> Process.sleep(1_000) end}, pool: pool) end,
        fn -> async(:converse, [n], pool) && Process.sleep(:infinity) end
      ])

    {pid, monitor} = spawn_monitor(work)
    Process.sleep(random(20))
    Process.exit(pid, :kill)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :killed
    end
  end

  defp do_it(:cancelled, n, pool, client) do
    call = async(:echo, [client, n, 10_000], pool)
    Process.sleep(random(10))
    :ok = Python.cancel(call)
    :cancelled
  end

  defp do_it(:timeout, n, pool, client),
    do: in_time(fn timeout -> call(:echo, [client, n, 30_000], pool, timeout: timeout) end)

  defp do_it(:swallow, n, pool, client),
    do: in_time(fn timeout -> call(:swallow, [client, n], pool, timeout: timeout) end)

  defp do_it(:spin, n, pool, _) do
    {name, arguments} = Enum.random(spin: [n], spin_plain: [])
    in_time(fn timeout -> call(name, arguments, pool, timeout: timeout) end)
  end

  defp do_it(:block, n, pool, _), do: is(call(:block, [n], pool), {:ok, n})

  defp do_it(:half_read, n, pool, client),
    do: is(call(:half_read, [client, n], pool), {:ok, "#{n} 0"})

  defp do_it(:in_thread, n, pool, _),
    do: is(call(:in_thread, [n, fn number -> number + 1 end], pool), {:ok, n + 1})

  defp do_it(:code, n, pool, client) do
    code = "(await loops.echo(client, n, 1)) + len([i async for i in client.lines(n, 10)])"
    is(Python.eval(code, %{client: client, n: n}, pool: pool, timeout: @hangs), {:ok, n + 10})
  end

  defp do_it(:context, n, _, _) do
    {:ok, context} = Python.Context.start_link(engine: :asyncio, init: "import asyncio\nn = #{n}")
    result = Python.eval("await asyncio.sleep(0.001, n)", context: context, timeout: @hangs)
    Python.Context.stop(context)
    is(result, {:ok, n})
  end

  defp async(name, arguments, pool),
    do: Python.call_async(:loops, name, arguments, pool: pool, timeout: @hangs)

  defp rescued(function) do
    {:ok, function.()}
  rescue
    error -> {:error, error}
  end

  defp in_time(call) do
    case Course.with_timeout(call) do
      {:error, %TimeoutError{}} -> :timeout
      other -> wrong("a timeout", other)
    end
  end

  defp random(most), do: :rand.uniform(most)

  defp wrong(expected, given) do
    shown = &inspect(&1, limit: 8, printable_limit: 300)
    throw({:wrong, "expected #{shown.(expected)}, got #{shown.(given)}"})
  end

  ## The end

  defp at_rest(pool, client) do
    Course.at_rest(pool, @rest)

    Course.wait("#{inspect(pool)} has nothing of calls", @rest, fn ->
      state = Python.call!(:loops, :state, [], pool: pool)
      {Enum.all?(~w(tasks left objects), &(state[&1] == 0)), state}
    end)

    Course.wait("#{inspect(pool)} has no requests", @rest, fn ->
      busy = Python.call!(client, :busy)
      {busy == 0, busy}
    end)
  end

  # Of this process there is no connection any more.
  defp server_at_rest(port) do
    Course.wait("the server has no connections", @rest, fn ->
      {:ok, socket} = :gen_tcp.connect({127, 0, 0, 1}, port, [:binary, active: false])
      :ok = :gen_tcp.send(socket, "GET /status HTTP/1.1\r\n\r\n")
      {:ok, answer} = :gen_tcp.recv(socket, 0, 10_000)
      :gen_tcp.close(socket)
      {answer =~ ~s("connections": 0), answer}
    end)
  end

  defp nothing_left(before) do
    Course.as_before([:descriptors, :threads, :processes], before, @rest, &reading/0)
  end

  defp reading do
    %{
      processes: length(Process.list()),
      # Of loops, and of their executors.
      threads: Course.threads(~r/^(py_loop|py_context|asyncio|beam\.smp$)/),
      descriptors: Course.descriptors(~r/socket|pipe|event/)
    }
  end

  defp report(readings) do
    # A short run is still warming up.
    allowance = if length(readings) < 120, do: 128, else: 32

    grown = if length(readings) > 5, do: Gauge.growth(readings, allowance * 1_048_576), else: []

    Course.report(readings, grown)
  end
end

# Warnings of loops that are held up would fill the screen.
:logger.set_primary_config(:level, :error)
Stress.Course.main(&Stress.Loops.run/2)
