defmodule Bench.Peers.Peer do
  @moduledoc false

  # ErlPort, with one instance.

  def start do
    options = [
      python: String.to_charlist(System.fetch_env!("BENCH_PYTHON")),
      python_path: String.to_charlist(System.fetch_env!("BENCH_MODULES"))
    ]

    {:ok, python} = apply(:python, :start, [options])
    :persistent_term.put(__MODULE__, python)
  end

  defp call(module, function, arguments),
    do: apply(:python, :call, [:persistent_term.get(__MODULE__), module, function, arguments])

  def sqrt, do: call(:math, :sqrt, [16])
  def eval, do: 2 = call(:builtins, :eval, ["1 + 1"])
  def echo(value), do: call(:bench_peers, :echo, [value])
  def echo_bytes(bytes), do: call(:bench_peers, :echo, [bytes])
  def length(binary), do: call(:builtins, :len, [binary])

  def callbacks(count), do: call(:bench_erlport, :call_back, [count])
  def sends(count), do: call(:bench_erlport, :send, [self(), count])

  def stream(count) do
    call(:bench_erlport, :stream, [self(), count])
    for _ <- 1..count, do: receive(do: (_item -> :ok))
    count
  end

  def fail do
    call(:bench_peers, :fail, [])
  rescue
    error -> error
  end

  def sleep(seconds), do: call(:time, :sleep, [seconds])
  def compute(count), do: call(:bench_peers, :compute, [count])
end
