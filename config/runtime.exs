import Config

# PYTHON=/path/to/python picks the interpreter of `mix test`, `iex -S mix` and the examples.
# Read at run time, so that changing it recompiles nothing.
case System.get_env("PYTHON", "") do
  "" -> :ok
  python -> config :erlang_python, python_path: python
end
