defmodule Bench.Busy do
  @moduledoc false

  # Load for what else the machine and the VM are to do meanwhile.

  @calls 8

  # How often it is looked whether all calls are at work, with 5 ms in between.
  @patience 6_000

  # In ms
  @start_timeout 60_000

  @doc "Runs a function while so many calls keep as many threads busy with Python bytecode."
  def while_calls(run) do
    {:ok, pool} = Python.Pool.start_link(name: __MODULE__, size: @calls)
    {:ok, nil} = Python.call(:bench_work, :start)
    busy = for _ <- 1..@calls, do: Python.call_async(:bench_work, :spin, [], pool: __MODULE__)
    await(@patience)
    result = run.()
    {:ok, nil} = Python.call(:bench_work, :stop)
    for call <- busy, do: {:ok, true} = Python.await(call)
    Supervisor.stop(pool)
    result
  end

  defp await(0), do: raise("the pool did not get busy")

  defp await(tries) do
    unless Python.Pool.stats(__MODULE__).busy == @calls do
      Process.sleep(5)
      await(tries - 1)
    end
  end

  @doc "Runs a function while one other program keeps a processor busy, with Python bytecode too."
  def while_program(run) do
    code = "print('1', flush=True)\nwhile True: pass"
    options = [:binary, :exit_status, args: ["-c", code]]
    port = Port.open({:spawn_executable, Python.info().executable}, options)
    {:os_pid, os_pid} = Port.info(port, :os_pid)
    receive(do: ({^port, {:data, "1" <> _}} -> :ok))
    result = run.()
    {_, 0} = System.cmd("kill", ["-KILL", "#{os_pid}"])
    receive(do: ({^port, {:exit_status, _}} -> :ok))
    result
  end

  @doc "A VM of its own, started with these flags, that can run what is in here. Ends with its caller."
  def start_vm(flags) do
    paths = for path <- :code.get_path(), do: [~c"-pa", path]
    # By TCP: the other connection that a VM without a name can have is the standard output.
    options = %{
      connection: {{127, 0, 0, 1}, 0},
      args: Enum.map(flags, &String.to_charlist/1) ++ Enum.concat(paths),
      wait_boot: @start_timeout
    }

    {:ok, vm, _node} = :peer.start_link(options)

    for {key, value} <- Application.get_all_env(:erlang_python) do
      call(vm, Application, :put_env, [:erlang_python, key, value])
    end

    {:ok, _} = call(vm, Application, :ensure_all_started, [:erlang_python])

    for file <- ~w(measure floors busy),
        do: call(vm, Code, :require_file, ["#{file}.exs", __DIR__])

    nil = call(vm, Python, :call!, [:sys, "path.append", [__DIR__]])
    vm
  end

  @doc "Calls a function there."
  def call(vm, module, function, args), do: :peer.call(vm, module, function, args, @start_timeout)

  @doc "The 99th percentile of how late timers are, in ns, in a window of so many ms, under calls."
  def timer_lateness(window), do: while_calls(fn -> Bench.Floors.timer_lateness(window) end)
end
