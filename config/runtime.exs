import Config

# Settings of this checkout: a project that depends on erlang_python never reads this folder.

# PYTHON=/path/to/python picks the interpreter of `mix test`, `iex -S mix` and the examples.
# Read at run time, so that changing it recompiles nothing.
case System.get_env("PYTHON", "") do
  "" -> :ok
  python -> config :erlang_python, python_path: python
end

# ENGINE=name runs the suite's tests of what holds on every engine on that one: test/support/engines.ex.
case System.get_env("ENGINE", "") do
  name when name in ["", "main"] ->
    :ok

  # One worker, as what tests leave in Python is looked for in the next call.
  name ->
    config :erlang_python,
      engine: String.to_atom(name),
      num_workers: 1,
      paths: ["test/support/python"],
      # With another Python than the VM's it is the suite that starts the default pool.
      start_pool: System.get_env("WORKER_PYTHON", "") == ""
end

# NATIVE=off runs the suite without what the settings native_layouts and native_memory stand for.
if System.get_env("NATIVE", "") == "off" do
  config :erlang_python, native_layouts: false, native_memory: false
end
