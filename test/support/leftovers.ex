defmodule Python.Leftovers do
  @moduledoc false

  # VMs of their own whose Python processes start all that could be left behind (test/support/python/leftovers.py),
  # and end in several ways. What is left is found by a variable of its environment.

  alias Python.Checkout

  @variable "ERLANG_PYTHON_LEFTOVERS"

  @doc """
  Starts a VM whose workers are at all kinds of things, and ends them. Returns the processes that are left after
  `patience` ms, a list of their status lines. `options`: of the pool.

    * `:kill` - `kill -9` of the VM;
    * `:halt`, `:stop` - `System.halt/1`, `System.stop/1`;
    * `:pool` - the pool is stopped;
    * `:workers` - the Python processes are killed.
  """
  @spec left(atom, pos_integer, keyword) :: [String.t()]
  def left(how, patience \\ 10_000, options \\ []) do
    mark = "#{how}-#{System.pid()}-#{System.unique_integer([:positive])}"
    {port, pid} = start(how, mark, options)
    await_line(port, "ready")
    if how == :kill, do: kill(pid, length(marked(mark)))
    if how in [:pool, :workers], do: await_line(port, "ended")
    left = await_nothing(mark, System.monotonic_time(:millisecond) + patience)
    # It may have ended by itself, and may be another one's number then.
    if Port.info(port), do: System.cmd("kill", ["-KILL", "#{pid}"], stderr_to_stdout: true)
    await_end(port)
    for line <- left, do: System.cmd("kill", ["-KILL", pid_of(line)], stderr_to_stdout: true)
    left
  end

  defp start(how, mark, options) do
    paths =
      for path <- :code.get_path(), path != ~c".", argument <- ["-pa", Path.expand(path)] do
        argument
      end

    code = "Python.Leftovers.run(#{inspect(how)}, #{inspect(mark)}, #{inspect(options)})"

    env = [
      {~c"ERL_CRASH_DUMP_BYTES", ~c"0"},
      {~c"PYTHON", String.to_charlist(System.get_env("PYTHON", ""))}
    ]

    options = [:binary, :exit_status, :stderr_to_stdout, :hide, line: 4096, env: env]
    arguments = [args: paths ++ ["-e", code]]
    elixir = System.find_executable("elixir")
    port = Port.open({:spawn_executable, elixir}, arguments ++ options)
    {:os_pid, pid} = Port.info(port, :os_pid)
    {port, pid}
  end

  defp await_line(port, expected, output \\ []) do
    receive do
      {^port, {:data, {:eol, ^expected}}} -> :ok
      {^port, {:data, {_end, line}}} -> await_line(port, expected, [output, line, ?\n])
      {^port, {:exit_status, status}} -> raise "the VM has ended (#{status}): #{output}"
    after
      60_000 -> raise "the VM does not say #{expected}: #{output}"
    end
  end

  # Otherwise nothing would ever be found to be left.
  defp kill(_pid, count) when count < 15, do: raise("only #{count} processes are found")
  defp kill(pid, _count), do: System.cmd("kill", ["-KILL", "#{pid}"])

  defp await_end(port) do
    receive do
      {^port, {:exit_status, _status}} -> :ok
    after
      10_000 -> raise "the VM does not end"
    end
  end

  defp await_nothing(mark, deadline) do
    left = marked(mark)

    if left == [] or System.monotonic_time(:millisecond) > deadline do
      left
    else
      Process.sleep(50)
      await_nothing(mark, deadline)
    end
  end

  # Zombies have no environment any more. The process that workers are forked from is not theirs.
  defp marked(mark) do
    for path <- Path.wildcard("/proc/[0-9]*/environ"),
        {:ok, environment} <- [File.read(path)],
        "#{@variable}=#{mark}" in String.split(environment, <<0>>),
        {:ok, stat} <- [File.read(Path.join(Path.dirname(path), "stat"))],
        not (stat =~ ~r/\) [ZX] /),
        not (mark =~ ~r/\Aworkers-/ and of_template?(stat)),
        do: stat
  end

  defp of_template?(stat) do
    [_, parent] = Regex.run(~r/\) \w (\d+)/, stat)
    Enum.any?([pid_of(stat), parent], &(arguments(&1) =~ "guard" <> <<0>> <> "--template"))
  end

  defp arguments(pid) do
    case File.read("/proc/#{pid}/cmdline") do
      {:ok, arguments} -> arguments
      {:error, _reason} -> ""
    end
  end

  defp pid_of(stat), do: stat |> String.split(" ") |> hd()

  ## In the VM of its own

  @doc false
  def run(how, mark, options \\ []) do
    with python when python != "" <- System.get_env("PYTHON", ""),
         do: Application.put_env(:erlang_python, :python_path, python)

    folder = Checkout.path("test/support/python")
    Application.put_env(:erlang_python, :paths, [folder])
    {:ok, _} = Application.ensure_all_started(:erlang_python)
    pool = __MODULE__
    env = %{@variable => mark, "PYTHONPATH" => folder}
    size = 6
    options = [name: pool, engine: :process, size: size, env: env] ++ options
    {:ok, pid} = Python.Pool.start_link(options)
    :ok = Python.exec("import leftovers", pool: pool, timeout: 60_000)

    for {function, arguments} <- [
          children: [],
          daemon: [],
          by_multiprocessing: ["fork"],
          by_multiprocessing: ["spawn"]
        ] do
      {:ok, _} = Python.call(:leftovers, function, arguments, pool: pool, timeout: 60_000)
    end

    # Not all: some workers are idle.
    for {module, function, arguments} <- [
          {:leftovers, :hold_the_gil, []},
          {:leftovers, :ignore_signals, []},
          {:time, :sleep, [1000]}
        ] do
      Python.call_async(module, function, arguments, pool: pool, timeout: :infinity)
    end

    await_busy(pool, 3)
    IO.puts("ready")
    finish(how, pool, pid)
  end

  defp await_busy(pool, count) do
    if Enum.count(Python.Pool.workers(pool), & &1.busy) < count do
      Process.sleep(10)
      await_busy(pool, count)
    end
  end

  defp finish(:kill, _pool, _pid), do: Process.sleep(:infinity)
  defp finish(:halt, _pool, _pid), do: System.halt(0)

  defp finish(:stop, _pool, _pid) do
    System.stop(0)
    Process.sleep(:infinity)
  end

  defp finish(:pool, _pool, pid) do
    GenServer.stop(pid)
    IO.puts("ended")
    Process.sleep(:infinity)
  end

  defp finish(:workers, pool, _pid) do
    # It would start others.
    :sys.suspend(pool)
    workers = Python.Pool.workers(pool)
    for worker <- workers, do: System.cmd("kill", ["-KILL", "#{worker.os_pid}"])
    IO.puts("ended")
    Process.sleep(:infinity)
  end
end
