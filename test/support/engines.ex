defmodule Python.Engines do
  @moduledoc false

  # The engines that the suite can run on: `ENGINE=name mix test` runs the files that use
  # Python.EngineCase or Python.StreamCase on that one. Without ENGINE the whole suite runs, on :main.
  #
  # With ENGINE=process, WORKER_PYTHON is the interpreter of the processes; PYTHON is that of the VM. With ENGINE=asyncio,
  # LOOP is the event loop; without it that is uvloop where PYTHON has it.

  # Each with the options that its pools and contexts are started with.
  defp engines do
    [
      main: [],
      # Code that goes on after an interrupt is to be interrupted again, before it is killed.
      process: [engine: :process, kill_after: 5_000] ++ worker_python(),
      asyncio: [engine: :asyncio] ++ loop()
    ]
  end

  defp loop do
    case System.get_env("LOOP", "") do
      "" -> []
      loop -> [loop: String.to_existing_atom(loop)]
    end
  end

  defp worker_python do
    case System.get_env("WORKER_PYTHON", "") do
      "" -> []
      python -> [python: python]
    end
  end

  @doc "The engine that the suite runs on."
  @spec current() :: atom
  def current do
    name = System.get_env("ENGINE", "")
    engine = Enum.find(Keyword.keys(engines()), &(Atom.to_string(&1) == name))

    cond do
      name != "process" and worker_python() != [] -> raise "WORKER_PYTHON needs ENGINE=process"
      name == "" -> :main
      engine -> engine
      true -> raise "ENGINE=#{name} is none of #{inspect(Keyword.keys(engines()))}"
    end
  end

  @doc "What a pool or a context of a test is started with, beside what the test says."
  @spec options() :: keyword
  def options, do: Keyword.fetch!(engines(), current())

  @doc "The settings of a VM whose default pool is of that engine, with one worker, as that of the suite is."
  @spec settings() :: keyword
  def settings do
    if current() == :main do
      []
    else
      paths = [Python.Checkout.path("test/support/python")]
      [engine: current(), num_workers: 1, paths: paths]
    end
  end

  @doc "The interpreter that the code of the tests runs in."
  @spec python() :: String.t()
  def python, do: Keyword.get(options(), :python) || Python.info().executable

  @doc "Starts the default pool, where the settings cannot: they know one interpreter."
  @spec start_default_pool() :: :ok
  def start_default_pool do
    if worker_python() != [] do
      pool = {Python.Pool, [name: Python.Pool, size: 1] ++ options()}
      {:ok, _} = Supervisor.start_child(Python.Supervisor, pool)
    end

    :ok
  end

  @doc """
  What the suite leaves out: on another engine, all that is only about the VM's own interpreter.

  Not by `--only`, which would run tests that are too long, or need a newer Python, as well.
  """
  @spec exclude() :: keyword
  def exclude do
    case current() do
      :main -> []
      # Nothing else runs on a loop while code blocks, and it may not wait for Elixir: `@tag blocks: "why"`.
      :asyncio -> [:blocks, engine: :main]
      _ -> [engine: :main]
    end
  end

  @doc "Whether calls run in the VM's interpreter, whose modules and `__main__` all pools share."
  @spec in_vm?() :: boolean
  def in_vm?, do: current() in [:main, :asyncio]

  @doc "What is defined from now on in this process is for all tests of a module."
  @spec set_up(module) :: :ok
  def set_up(module) do
    Process.put({__MODULE__, :module}, module)
    :ok
  end

  @doc "Begins a test. `sources`: what is executed in its pools first, where they are processes of their own."
  @spec begin_test(module, [String.t()]) :: :ok
  def begin_test(module, sources \\ []) do
    if not in_vm?(), do: Process.put(__MODULE__, {[], sources ++ of_all_tests(module)})
    :ok
  end

  defp of_all_tests(module), do: :persistent_term.get({__MODULE__, module}, [])

  @doc """
  Executes source in the default pool, and, where pools do not share `__main__` with it, in those of the calling
  test, the later ones too.
  """
  @spec define(String.t()) :: :ok
  def define(source) do
    Python.exec!(source)

    if not in_vm?(), do: define_in_pools(source, Process.get({__MODULE__, :module}))
    :ok
  end

  defp define_in_pools(source, nil) do
    {pools, sources} = of_the_test()
    Process.put(__MODULE__, {pools, sources ++ [source]})
    for pool <- pools, do: Python.exec!(source, pool: pool)
  end

  defp define_in_pools(source, module) do
    :persistent_term.put({__MODULE__, module}, of_all_tests(module) ++ [source])
  end

  @doc "Notes that the calling test has started a pool, and defines there what it has defined."
  @spec started(atom) :: atom
  def started(pool) do
    if not in_vm?() do
      # Timeouts of tests are for calls, and not for the start of a process.
      Python.TestCase.eventually("the workers of a pool are ready", fn ->
        not match?({Python.Engine.Process, _, _}, Python.Pool.lookup(pool)) or
          Enum.all?(Python.Pool.workers(pool), & &1.os_pid)
      end)

      {pools, sources} = of_the_test()
      Process.put(__MODULE__, {[pool | pools], sources})
      for source <- sources, do: Python.exec!(source, pool: pool)
    end

    pool
  end

  defp of_the_test, do: Process.get(__MODULE__, {[], []})
end
