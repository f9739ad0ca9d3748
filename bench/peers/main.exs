defmodule Bench.Peers.Peer do
  @moduledoc false

  # This project in its default configuration. What each function does is said here, for all libraries;
  # one that cannot do something leaves the function out.

  @engine String.to_atom(System.get_env("BENCH_ENGINE", "main"))

  def start do
    Application.put_env(:erlang_python, :python_path, System.fetch_env!("BENCH_PYTHON"))
    Application.put_env(:erlang_python, :paths, [System.fetch_env!("BENCH_MODULES")])
    Application.put_env(:erlang_python, :engine, @engine)
    {:ok, _} = Application.ensure_all_started(:erlang_python)
  end

  @doc "A call of `math.sqrt` with 16."
  def sqrt, do: Python.call!(:math, :sqrt, [16])

  @doc "The value of an expression that is given as text."
  def eval, do: {:ok, 2} = Python.eval("1 + 1")

  @doc "A value there and back."
  def echo(value), do: Python.call!(:bench_peers, :echo, [value])

  @doc "Bytes there and back."
  def echo_bytes(bytes), do: Python.call!(:bench_peers, :echo, [bytes])

  @doc "How long bytes are, to Python."
  def length(binary), do: Python.call!(:builtins, :len, [binary])

  @doc "Takes all items of a generator, and returns how many there were."
  def stream(count), do: Python.stream(:bench_peers, :numbers, [count]) |> Enum.count()

  @doc "Has Python call a function so many times."
  def callbacks(count), do: Python.call!(:bench_peers, :send, [&Function.identity/1, count])

  @doc "Has Python send so many messages to the caller."
  def sends(count) do
    Python.exec!("import erlang")

    Python.eval!(
      "[erlang.send(pid, number) for number in range(count)] and None",
      %{pid: self(), count: count}
    )
  end

  @doc "A call that raises an exception, which comes back as a value."
  def fail, do: {:error, %Python.Error{}} = Python.call(:bench_peers, :fail)

  @doc "A call that sleeps."
  def sleep(seconds), do: Python.call!(:time, :sleep, [seconds])

  @doc "A call that computes."
  def compute(count), do: Python.call!(:bench_peers, :compute, [count])
end
