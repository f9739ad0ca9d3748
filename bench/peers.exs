# The same work with other libraries, where their checkouts are given and built as their own documents say:
#
#     PYTHONX=../pythonx ERLANG_PYTHON=../erlang-python SNEX=../snex ERLPORT=../erlport make bench-peers
#
# Each library has a VM of its own, in its default configuration, with the same Python: the `python3` of
# PATH, or that of the variable PYTHON. All take turns: a round is one work in each VM. Results are printed, and go into
# bench/PEERS.md with --write.

for name <- ~w(others measure line machine samples),
    do: Code.require_file("support/#{name}.exs", __DIR__)

Code.require_file("peers/works.exs", __DIR__)

defmodule Bench.Peers do
  @moduledoc false

  alias Bench.{Line, Machine, Measure}
  alias Bench.Peers.Works

  @file_name Path.expand("PEERS.md", __DIR__)

  # In ms: for one work in one VM.
  @patience 120_000

  # The program's name in BENCH_PYTHON, what the adapter imports in BENCH_MODULES.
  @modules Path.expand("peers", __DIR__)

  @peers [
    %{name: "erlang_python", adapter: "main", variable: nil, engine: "main"},
    %{name: "erlang_python, `:process`", adapter: "main", variable: nil, engine: "process"},
    %{name: "Pythonx", adapter: "pythonx", variable: "PYTHONX"},
    %{name: "erlang-python", adapter: "erlang_python", variable: "ERLANG_PYTHON"},
    %{name: "Snex", adapter: "snex", variable: "SNEX"},
    %{name: "ErlPort", adapter: "erlport", variable: "ERLPORT"}
  ]

  @own 2

  def run(rounds) do
    machine = Machine.describe()
    peers = Enum.filter(@peers, &here?/1)
    works = [:start | Enum.map(Works.all(), & &1.name)] ++ [:memory]
    bare = for _ <- 1..rounds, do: start_bare()
    Enum.each(peers, &open/1)

    results =
      for round <- 0..rounds, work <- works, peer <- peers, reduce: %{} do
        results ->
          found = measure(work, peer)
          # The first round warms up.
          if round == 0,
            do: results,
            else: Map.update(results, {work, peer.name}, found, &(found ++ &1))
      end

    Enum.each(peers, &close/1)
    text = document(machine, rounds, peers, results, Measure.median(bare))
    IO.puts(text)
    if "--write" in System.argv(), do: File.write!(@file_name, text)
  end

  # What is left out is said aloud.
  defp here?(%{variable: nil}), do: true

  defp here?(peer) do
    path = System.get_env(peer.variable)

    cond do
      path in [nil, ""] ->
        IO.puts("#{peer.name} is left out: #{peer.variable} does not say where its checkout is.")
        false

      ebins(peer) == [] ->
        IO.puts("#{peer.name} is left out: #{path} has no _build/*/lib/*/ebin. Build it first.")
        false

      true ->
        true
    end
  end

  defp ebins(%{variable: nil}), do: [Path.join(:code.lib_dir(:erlang_python), "ebin")]

  defp ebins(peer) do
    [System.fetch_env!(peer.variable), "_build/*/lib/*/ebin"]
    |> Path.join()
    |> Path.expand()
    |> Path.wildcard()
  end

  # A VM of its own, which is told what to measure.
  defp open(peer) do
    port = start(peer)
    Process.put(peer.name, port)
  end

  defp start(peer) do
    script = Path.join(@modules, "vm.exs")
    adapter = Path.join(@modules, "#{peer.adapter}.exs")
    paths = Enum.flat_map(ebins(peer), &["-pa", &1])
    port = start_elixir(paths ++ [script, adapter], peer[:engine] || "")
    +0.0 = await(port, "start")
    port
  end

  defp close(peer), do: Port.close(Process.get(peer.name))

  defp start_elixir(arguments, engine) do
    env = [
      {~c"BENCH_PYTHON", String.to_charlist(python())},
      {~c"BENCH_MODULES", String.to_charlist(@modules)},
      {~c"BENCH_ENGINE", String.to_charlist(engine)}
    ]

    options = [:binary, :exit_status, :use_stdio, :hide, {:line, 10_000}, env: env]
    executable = System.find_executable("elixir")
    Port.open({:spawn_executable, executable}, options ++ [args: arguments])
  end

  # `make` hands it on whether it is set or not.
  defp python do
    case System.get_env("PYTHON", "") do
      "" -> System.find_executable("python3")
      python -> python
    end
  end

  # What came of it: a figure, or why there is none. A VM may end of what it did before, so another one is asked
  # once more.
  defp measure(work, peer, attempts \\ 2)
  defp measure(_work, _peer, 0), do: []

  defp measure(work, peer, attempts) do
    case ask(work, peer) do
      {:ended, why} ->
        open(peer)
        [{:failed, why} | measure(work, peer, attempts - 1)]

      result ->
        [result]
    end
  end

  # From the start of a VM to its first result, in ms.
  defp ask(:start, peer), do: time(fn -> start(peer) end)

  defp ask(work, peer) do
    port = Process.get(peer.name)
    Port.command(port, "#{work}\n")
    await(port, Atom.to_string(work))
  end

  defp start_bare do
    time(fn ->
      port = start_elixir(["-e", "IO.puts(\"figure start 0.0\"); IO.read(:line)"], "")
      +0.0 = await(port, "start")
      port
    end)
  end

  # In ms, until a VM has said that it is there.
  defp time(start) do
    began = System.monotonic_time()
    port = start.()
    ns = System.convert_time_unit(System.monotonic_time() - began, :native, :nanosecond)
    # It ends with its input.
    Port.close(port)
    ns / 1.0e6
  end

  defp await(port, name) do
    receive do
      {^port, {:data, {_flag, line}}} ->
        case String.split(line, " ", parts: 3) do
          ["figure", ^name, value] -> String.to_float(value)
          ["failed", ^name, why] -> {:failed, why}
          _its_own -> await(port, name)
        end

      {^port, {:exit_status, status}} ->
        {:ended, "its VM ended with status #{status}"}
    after
      @patience -> raise "a VM has not answered for #{div(@patience, 1000)} s: #{name}"
    end
  end

  defp document(machine, rounds, peers, results, bare) do
    """
    # Beside other libraries

    The same work with each library, in its default configuration and by its own means
    (`bench/peers`), each in a VM of its own, in turns: #{if rounds == 1, do: "one round", else: "medians of #{rounds} rounds"}. To measure again:
    the first lines of `bench/peers.exs` say how.

    *Ahead* is how much better the better one of this project's two engines is than the best other library: below 1 × somebody else is
    better.

    #{Machine.items(machine ++ versions(peers))}

    | work | #{Enum.map_join(peers, " | ", & &1.name)} | ahead |
    |---|#{String.duplicate("---|", length(peers))}---|
    #{Enum.map_join(rows(bare), "\n", &row(&1, peers, results))}

    #{notes(peers, results)}\
    """
  end

  defp versions(peers) do
    for %{variable: variable} = peer when variable != nil <- peers do
      # Its dependencies are there too. It is itself named as its adapter.
      [{:ok, [{:application, _name, properties}]}] =
        for ebin <- ebins(peer),
            file = Path.join(ebin, "#{peer.adapter}.app"),
            File.exists?(file),
            do: :file.consult(file)

      {peer.name, properties[:vsn]}
    end
  end

  defp rows(bare) do
    above = fn ms -> ms - bare end

    works = for work <- Works.all(), do: {work.name, work.work, work.unit, work.better, & &1}

    works ++
      [
        {:start, "first result after the start of the VM, above a bare one", "ms", :low, above},
        {:memory, "memory of the VM and its processes, after all that", "MB", :low, & &1}
      ]
  end

  defp row({name, work, unit, better, adjust}, peers, results) do
    figures =
      for peer <- peers do
        case Enum.filter(results[{name, peer.name}], &is_float/1) do
          [] -> nil
          values -> adjust.(Measure.median(values))
        end
      end

    cells = for figure <- figures, do: if(figure, do: "#{Line.number(figure)} #{unit}", else: "–")
    "| #{work} | #{Enum.join(cells, " | ")} | #{ahead(figures, better)} |"
  end

  defp ahead(figures, better) do
    {own, others} = Enum.split(figures, @own)

    case {Enum.filter(own, & &1), Enum.filter(others, & &1)} do
      {[_ | _] = own, [_ | _] = others} -> "#{Line.number(ratio(own, others, better))} ×"
      _ -> ""
    end
  end

  defp ratio(own, others, :low), do: Enum.min(others) / Enum.min(own)
  defp ratio(own, others, :high), do: Enum.max(own) / Enum.max(others)

  # Why there is a dash.
  defp notes(peers, results) do
    for peer <- peers,
        {{work, name}, values} <- Enum.sort(results),
        name == peer.name,
        {:failed, why} <- Enum.uniq(values) do
      "- #{name}, #{work}: #{why}\n"
    end
  end
end

Bench.Peers.run(if "--quick" in System.argv(), do: 1, else: 6)
