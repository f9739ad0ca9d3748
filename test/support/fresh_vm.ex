defmodule Python.FreshVM do
  @moduledoc false

  # VMs of their own: for what would end the one that runs the suite, for settings, which are read
  # once, and for what a VM does when it ends.

  import ExUnit.Assertions

  @start_timeout 60_000

  @doc """
  Starts a VM that ends with the calling process.

  ## Options

    * `:settings` - the application environment; `:python_path`, `:engine`, `:native_layouts` and `:native_memory` default to
      those of the suite.
    * `:env` - environment variables, `{name, value}`; `false` unsets one.
    * `:start` - whether to start the application. Defaults to `true`.
    * `:args` - further arguments of `erl`.
  """
  def start(options \\ []) do
    # Over TCP: what Python prints goes to the standard output, which is the other connection
    # that a VM without a name can have.
    {:ok, vm, _node} =
      :peer.start_link(%{
        connection: {{127, 0, 0, 1}, 0},
        args: Enum.map(arguments() ++ Keyword.get(options, :args, []), &String.to_charlist/1),
        env: charlists(env(options)),
        wait_boot: @start_timeout
      })

    # It says so in a message, as ports do; a link would take the test with it.
    Process.unlink(vm)
    stop_after(self(), vm)
    call(vm, Application, :ensure_all_started, [:logger])

    for {key, value} <- settings(options) do
      call(vm, Application, :put_env, [:erlang_python, key, value])
    end

    if Keyword.get(options, :start, true) do
      assert {:ok, _} = call(vm, Application, :ensure_all_started, [:erlang_python])
    end

    vm
  end

  defp stop_after(owner, vm) do
    spawn(fn ->
      owner = Process.monitor(owner)
      peer = Process.monitor(vm)

      receive do
        {:DOWN, ^owner, _, _, _} -> stop(vm)
        {:DOWN, ^peer, _, _, _} -> :ok
      end
    end)
  end

  @doc "Calls a function there. The test fails if the VM does not live to answer."
  def call(vm, module, function, arguments, timeout \\ 60_000) do
    :peer.call(vm, module, function, arguments, timeout)
  catch
    :exit, {:timeout, _} ->
      flunk("the VM did not answer within #{timeout} ms: #{shown(module, function, arguments)}")

    :exit, reason ->
      flunk("the VM has ended in #{shown(module, function, arguments)}: #{inspect(reason)}")
  end

  @doc "Takes a module there, as `defmodule` gives it: one of a test is in no file."
  def load(vm, {:module, module, binary, _}) do
    assert {:module, _} = call(vm, :code, :load_binary, [module, ~c"nofile", binary])
  end

  def alive?(vm), do: Process.alive?(vm)

  def stop(vm) do
    :peer.stop(vm)
  catch
    :exit, _ -> :ok
  end

  @doc """
  Runs Elixir code in an operating system process, to its end.

  Returns `{output, status}`; the status is `:hangs` if it had to be killed. Takes the options of
  `start/1`, `:timeout` in ms, and `:by`, a command that runs the one given by its last arguments.
  """
  def run(code, options \\ []) do
    settings =
      for {key, value} <- settings(options) do
        "Application.put_env(:erlang_python, #{inspect(key)}, #{inspect(value)})\n"
      end

    start =
      if Keyword.get(options, :start, true) do
        "{:ok, _} = Application.ensure_all_started(:erlang_python)\n"
      end

    code = IO.iodata_to_binary([settings, start || "", code])

    [program | arguments] =
      Keyword.get(options, :by, []) ++
        [System.find_executable("elixir")] ++ arguments() ++ ["-e", code]

    execute(
      program,
      arguments,
      env(options),
      Keyword.get(options, :timeout, @start_timeout)
    )
  end

  @doc "Runs a program to its end, as `run/2` does."
  def execute(program, arguments, env, timeout, cd \\ nil) do
    options = [:binary, :exit_status, :stderr_to_stdout, :hide]
    options = if cd, do: [{:cd, cd} | options], else: options

    port =
      Port.open(
        {:spawn_executable, program},
        [{:args, arguments}, {:env, charlists(env)} | options]
      )

    {:os_pid, pid} = Port.info(port, :os_pid)
    collect(port, pid, [], System.monotonic_time(:millisecond) + timeout)
  end

  defp collect(port, pid, output, deadline) do
    left = max(deadline - System.monotonic_time(:millisecond), 0)

    receive do
      {^port, {:data, data}} ->
        collect(port, pid, [output, data], deadline)

      {^port, {:exit_status, status}} ->
        {IO.iodata_to_binary(output), status}
    after
      left ->
        System.cmd("kill", ["-KILL", "#{pid}"])
        # What is left to read, and the status, which tells that it is gone.
        {output, _killed} = collect(port, pid, output, deadline + 10_000)
        {output, :hangs}
    end
  end

  defp arguments do
    for path <- :code.get_path(), path != ~c".", argument <- ["-pa", Path.expand(path)] do
      argument
    end
  end

  defp settings(options) do
    suite = for path <- List.wrap(suite_python()), do: {:python_path, path}
    suite = Keyword.merge(suite, Python.Engines.settings())
    suite = Keyword.merge(suite, Python.TestCase.native_settings())
    Keyword.merge(suite, Keyword.get(options, :settings, []))
  end

  # A VM that ends in the middle of a test leaves no dump behind.
  defp env(options) do
    [{"PYTHON", false}, {"ERL_CRASH_DUMP_BYTES", "0"} | Keyword.get(options, :env, [])]
  end

  defp suite_python do
    # Its processes have the interpreter that is its own.
    named = for name <- ["WORKER_PYTHON", "PYTHON"], do: System.get_env(name, "")
    Enum.find(named, &(&1 != ""))
  end

  defp charlists(env) do
    for {name, value} <- env do
      {String.to_charlist(name), value && String.to_charlist(value)}
    end
  end

  defp shown(module, function, arguments) do
    "#{inspect(module)}.#{function}(#{Enum.map_join(arguments, ", ", &inspect/1)})"
  end
end
