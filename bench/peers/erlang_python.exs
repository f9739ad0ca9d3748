defmodule Bench.Peers.Peer do
  @moduledoc false

  # erlang-python, in its default configuration. Its module is called as ours.

  def start do
    {:ok, _} = Application.ensure_all_started(:erlang_python)
    py(:exec, ["import sys; sys.path.append('#{System.fetch_env!("BENCH_MODULES")}')"])
    py(:register_function, [:bench_identity, fn [value] -> value end])
  end

  defp py(function, arguments), do: apply(:py, function, arguments)
  defp call(module, function, arguments), do: ok(py(:call, [module, function, arguments]))

  defp ok({:ok, value}), do: value

  def sqrt, do: call(:math, :sqrt, [16])
  def eval, do: {:ok, 2} = py(:eval, ["1 + 1"])
  def echo(value), do: call(:bench_peers, :echo, [value])
  def echo_bytes(bytes), do: call(:bench_peers, :echo, [bytes])
  def length(binary), do: call(:builtins, :len, [binary])

  def stream(count) do
    {:ok, reference} = py(:stream_start, [:bench_peers, :numbers, [count]])
    count(reference, 0)
  end

  defp count(reference, number) do
    receive do
      {:py_stream, ^reference, {:data, _item}} -> count(reference, number + 1)
      {:py_stream, ^reference, :done} -> number
    after
      10_000 -> raise "no item in 10 s"
    end
  end

  def callbacks(count) do
    py(:eval, [
      "[erlang.call('bench_identity', number) for number in range(count)] and None",
      %{count: count}
    ])
  end

  def sends(count) do
    py(:eval, [
      "[erlang.send(pid, number) for number in range(count)] and None",
      %{pid: self(), count: count}
    ])
  end

  def fail, do: {:error, _} = py(:call, [:bench_peers, :fail, []])
  def sleep(seconds), do: call(:time, :sleep, [seconds])
  def compute(count), do: call(:bench_peers, :compute, [count])
end
