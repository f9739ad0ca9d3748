defmodule Bench.Peers.Works do
  @moduledoc false

  # The work that every library is given, by its own means: see `Bench.Peers.Peer` for what a library
  # has to be able to do.

  alias Bench.{Measure, Samples}

  @calls 5_000
  @computing 1_000_000

  defstruct [:name, :work, :unit, :needs, :run, better: :low]

  @doc "All works, as they appear in the table."
  def all do
    [
      work(:call, "`math.sqrt(16)`, each call timed alone", "µs", :sqrt, &calls/1),
      work(:idle, "the same after 3 ms idle", "µs", :sqrt, &idle/1),
      rate(:callers_1, "tiny calls of one caller", :sqrt, &throughput(&1, 1)),
      rate(:callers_8, "of 8 callers", :sqrt, &throughput(&1, 8)),
      rate(:callers_64, "of 64 callers", :sqrt, &throughput(&1, 64)),
      work(:eval, "`1 + 1`, from text", "µs", :eval, &evals/1),
      work(:ints, "list of 100,000 ints, there and back", "ms", :echo, echo(&Samples.ints/0)),
      work(
        :map,
        "map of 10,000 string keys, there and back",
        "ms",
        :echo,
        echo(&Samples.string_keys/0)
      ),
      work(
        :document,
        "nested document of 1 MB, there and back",
        "ms",
        :echo,
        echo(&document/0)
      ),
      work(:bytes, "1 MB of bytes, there and back", "ms", :echo_bytes, &bytes/1),
      work(:binary, "10 MB of bytes in, their length back", "ms", :length, &length_of/1),
      rate(:stream, "items of a generator of 100,000 ints", :stream, &stream/1),
      rate(:callbacks, "calls of an Elixir function from Python", :callbacks, &callbacks/1),
      rate(:errors, "exceptions that are raised and come back as a value", :fail, &errors/1),
      work(:sleepers, "64 × `time.sleep(0.05)` at once", "ms", :sleep, &sleepers/1),
      work(:computing, "two calls that compute, against one", "×", :compute, &computing/1),
      rate(:sends, "messages from Python to a process", :sends, &sends/1)
    ]
  end

  defp work(name, text, unit, needs, run),
    do: %__MODULE__{name: name, work: text, unit: unit, needs: needs, run: run}

  defp rate(name, text, needs, run),
    do: %{work(name, text, "/s", needs, run) | better: :high}

  defp calls(peer), do: singles(fn -> peer.sqrt() end)
  defp evals(peer), do: singles(fn -> peer.eval() end)

  defp singles(run) do
    Measure.repeat(run, 100)
    Measure.alone(fn -> Measure.median(Measure.singles(run, 1_000)) end) / 1.0e3
  end

  defp idle(peer) do
    run = fn -> peer.sqrt() end
    Measure.alone(fn -> Measure.median(Measure.after_idle(run, 25, 3)) end) / 1.0e3
  end

  defp throughput(peer, callers), do: Measure.throughput(fn -> peer.sqrt() end, callers, @calls)

  defp echo(make) do
    fn peer ->
      value = make.()
      Measure.check(value, fn -> peer.echo(value) end)
      Measure.once(fn -> peer.echo(value) end) / 1.0e6
    end
  end

  # Not every library gives back nil.
  defp document, do: Samples.document(0)

  defp bytes(peer) do
    bytes = Samples.megabyte()
    Measure.check(bytes, fn -> peer.echo_bytes(bytes) end)
    Measure.once(fn -> peer.echo_bytes(bytes) end) / 1.0e6
  end

  defp length_of(peer) do
    binary = :binary.copy(<<0xFF>>, 10_000_000)
    Measure.check(10_000_000, fn -> peer.length(binary) end)
    Measure.once(fn -> peer.length(binary) end) / 1.0e6
  end

  defp stream(peer), do: per_second(100_000, fn -> 100_000 = peer.stream(100_000) end)
  defp callbacks(peer), do: per_second(2_000, fn -> peer.callbacks(2_000) end)

  defp sends(peer) do
    per_second(20_000, fn ->
      peer.sends(20_000)
      for _ <- 1..20_000, do: receive(do: (_message -> :ok))
    end)
  end

  defp errors(peer), do: per_second(500, fn -> Measure.repeat(fn -> peer.fail() end, 500) end)

  defp per_second(count, run), do: count * 1.0e9 / Measure.once(run)

  defp sleepers(peer), do: Measure.at_once(64, fn -> peer.sleep(0.05) end) / 1.0e6

  defp computing(peer) do
    compute = fn -> peer.compute(@computing) end
    Measure.at_once(2, compute) / Measure.at_once(1, compute)
  end
end
