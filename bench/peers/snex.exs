defmodule Bench.Peers.Peer do
  @moduledoc false

  # Snex, with one interpreter.

  def start do
    {:ok, _} = Application.ensure_all_started(:snex)

    {:ok, interpreter} =
      apply(Snex.Interpreter, :start_link, [
        [
          python: System.fetch_env!("BENCH_PYTHON"),
          environment: %{"PYTHONPATH" => System.fetch_env!("BENCH_MODULES")},
          init_script: "import math, time, bench_peers"
        ]
      ])

    {:ok, env} = apply(Snex, :make_env, [interpreter])
    :persistent_term.put(__MODULE__, env)
  end

  defp run(code, variables \\ %{}) do
    case apply(Snex, :pyeval, [:persistent_term.get(__MODULE__), code, variables]) do
      {:ok, value} -> value
      {:error, error} -> error
    end
  end

  def sqrt, do: run("return math.sqrt(16)")
  def eval, do: 2 = run("return 1 + 1")
  def echo(value), do: run("return value", %{"value" => value})
  def echo_bytes(bytes), do: run("return value", %{"value" => serde(bytes)})
  def length(binary), do: run("return len(value)", %{"value" => serde(binary)})

  # Bytes, not a string.
  defp serde(binary), do: apply(Snex.Serde, :binary, [binary])

  def stream(count) do
    code = "for number in bench_peers.numbers(count): await snex.send(pid, number)"
    run(code, %{"count" => count, "pid" => self()})
    for _ <- 1..count, do: receive(do: (_item -> :ok))
    count
  end

  def callbacks(count) do
    code = "for number in range(count): await snex.call('Elixir.Function', 'identity', [number])"
    run(code, %{"count" => count})
  end

  def sends(count) do
    code = "for number in range(count): await snex.send(pid, number)"
    run(code, %{"count" => count, "pid" => self()})
  end

  def fail, do: run("return bench_peers.fail()")
  def sleep(seconds), do: run("time.sleep(seconds)", %{"seconds" => seconds})
  def compute(count), do: run("return bench_peers.compute(count)", %{"count" => count})
end
