# What PYTHON names runs the suite: config/runtime.exs hands it to the application.
case Python.Runtime.interpreter() do
  {:ok, interpreter} ->
    IO.puts("Python #{interpreter.version_string}, #{interpreter.executable}")

  {:error, error} ->
    IO.puts(:stderr, "The suite needs a Python that runs. #{Exception.message(error)}")
    System.halt(1)
end

if System.get_env("WORKER_PYTHON") not in [nil, ""] do
  IO.puts("Its processes have #{Python.Engines.python()}")
  Python.Engines.start_default_pool()
end

# Not among the applications that :erlang_python asks for, so that Erlang can do without Elixir's.
{:ok, _} = Application.ensure_all_started(:logger)

# A test that needs a newer Python than this one says so: `@tag python: "3.11"`.
newer =
  for minor <- 9..15, {3, minor} > Python.TestCase.python_version(), do: {:python, "3.#{minor}"}

# LONG=1 runs what takes minutes, and the large counts where there is a choice.
long = if Python.TestCase.long?(), do: [], else: [:long]

# With NATIVE=off, a test of what a setting switches off does not run: `@tag native: :layouts`, or `:memory`.
native =
  for {setting, false} <- Python.TestCase.native_settings() do
    {:native, if(setting == :native_layouts, do: :layouts, else: :memory)}
  end

timeout = if Python.TestCase.long?(), do: 3_600_000, else: 60_000

# In CI another suite runs beside this one, see .ci/lanes: fewer tests at once than there would be.
beside = if System.get_env("LANES"), do: [max_cases: System.schedulers_online() + 1], else: []

options = [
  exclude: newer ++ long ++ native ++ Python.Engines.exclude(),
  capture_log: true,
  timeout: timeout
]

ExUnit.start(options ++ beside)
