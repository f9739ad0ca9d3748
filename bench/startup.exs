Code.require_file("support/suite.exs", __DIR__)

defmodule Bench.Startup do
  @moduledoc false

  # How much later the first result is there than a VM that does nothing, and how much more memory
  # it takes: each time an operating system process of its own.

  import Bench.Suite, only: [line: 1, size: 2]
  alias Bench.Measure

  # In ms
  @patience 60_000

  # Each prints the memory that it takes, at last. On other systems than Linux that is nothing.
  @finish ~S"""
  IO.write(with {:ok, text} <- File.read("/proc/self/status"), do: text, else: (_ -> "unknown"))
  System.halt(0)
  """

  @start_logger "{:ok, _} = Application.ensure_all_started(:logger)\n"

  @first_result ~S"""
  {:ok, _} = Application.ensure_all_started(:erlang_python)
  {:ok, 4.0} = Python.call(:math, :sqrt, [16])
  """

  def run do
    folder = Path.join(System.tmp_dir!(), "erlang_python_bench_#{System.pid()}")
    {_, 0} = System.cmd(Python.info().executable, ["-m", "venv", "--without-pip", folder])
    own = python_path(Application.get_env(:erlang_python, :python_path))

    runs =
      Measure.rounds(size(11, 1),
        bare: fn -> run_vm("") end,
        logger: fn -> run_vm(@start_logger) end,
        python: fn -> run_vm(own <> @first_result) end,
        empty: fn -> run_vm(python_path(folder) <> @first_result) end,
        program: fn -> run_program() end
      )

    File.rm_rf!(folder)
    times(runs) ++ program(runs) ++ memory(runs)
  end

  defp times(runs) do
    times = fn name -> for {ns, _memory} <- runs[name], do: ns end

    for {name, work, target} <- [
          {:python, "first result after VM start, above a bare VM", {:at_most, 60}},
          {:empty, "the same in a new virtual environment, with no .pth files in it",
           {:at_most, 30}},
          {:logger, "start of Elixir's Logger, which the application starts, above a bare VM",
           nil}
        ] do
      line(
        work: work,
        unit: "ms",
        figures: Enum.zip_with(times.(name), times.(:bare), &(&1 - &2)),
        floors: times.(:bare),
        floor_name: "bare VM",
        excess: true,
        target: target
      )
    end
  end

  # What Python needs for itself, most of which a start inside of the VM needs too.
  defp program(runs) do
    [
      line(
        work:
          "start of Python as a program of its own, with what .pth files and sitecustomize do",
        unit: "ms",
        figures: runs.program
      )
    ]
  end

  defp memory(runs) do
    memory = fn name -> for {_ns, memory} <- runs[name], memory, do: memory end

    if memory.(:bare) == [] do
      []
    else
      [
        line(
          work: "memory after the first result, above a bare VM",
          unit: "MB",
          figures: Enum.zip_with(memory.(:python), memory.(:bare), &(&1 - &2)),
          floors: memory.(:bare),
          floor_name: "bare VM",
          excess: true,
          target: {:at_most, 25}
        )
      ]
    end
  end

  # Returns the ns from its start to its output, and its memory in MB.
  defp run_vm(code) do
    {ns, output} = run(System.find_executable("elixir"), ["-pa", ebin(), "-e", code <> @finish])

    {ns, memory_of(output)}
  end

  # Returns the ns from its start to its output.
  defp run_program do
    {ns, "1"} = run(Python.info().executable, ["-c", "import os; os.write(1, b'1')"])
    ns
  end

  # Returns the ns from its start to its output, and the output.
  defp run(executable, args) do
    start = System.monotonic_time(:nanosecond)
    options = [:binary, :exit_status, :hide, args: args]
    port = Port.open({:spawn_executable, executable}, options)

    receive do
      {^port, {:data, output}} ->
        ns = System.monotonic_time(:nanosecond) - start
        {ns, finish(port, output)}

      {^port, {:exit_status, status}} ->
        raise "#{executable} ended with status #{status}: #{inspect(args)}"
    after
      @patience -> raise "#{executable} did not start: #{inspect(args)}"
    end
  end

  defp finish(port, output) do
    receive do
      {^port, {:data, more}} -> finish(port, output <> more)
      {^port, {:exit_status, 0}} -> output
      {^port, {:exit_status, status}} -> raise "it ended with status #{status}: #{output}"
    after
      @patience -> raise "it did not end"
    end
  end

  defp memory_of(status) do
    case Regex.run(~r/^VmRSS:\s+(\d+) kB/m, status) do
      [_, kilobytes] -> String.to_integer(kilobytes) * 1024 / 1_000_000
      nil -> nil
    end
  end

  defp ebin, do: Path.join(:code.lib_dir(:erlang_python), "ebin")

  # The Python to be started, where one was asked for; the search is a part of the start otherwise.
  defp python_path(nil), do: ""

  defp python_path(path),
    do: "Application.put_env(:erlang_python, :python_path, #{inspect(path)})\n"
end

Bench.Suite.run(Bench.Startup)
