defmodule Python.Engine.Process.KeptTest do
  # Who still has something of a worker that has ended, such as a handle, keeps nothing open by that. Descriptors are
  # those of a VM, so it has one of its own.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @open """
  alias Python.Pool

  open = fn ->
    mapped =
      case File.read("/proc/self/maps") do
        {:ok, maps} -> for line <- String.split(maps, "\\n"), line =~ "memfd", do: :mapping
        _ -> []
      end

    descriptors =
      for path <- Path.wildcard("/proc/self/fd/*"),
          {:ok, to} <- [File.read_link(path)],
          [kind] <- [Regex.run(~r/socket|pipe|pidfd|memfd/, to)],
          do: kind

    Enum.frequencies(mapped ++ descriptors)
  end

  await = fn await, check, tries ->
    cond do
      check.() -> true
      tries == 0 -> open.()
      true -> Process.sleep(20) && await.(await, check, tries - 1)
    end
  end

  {:ok, _} = Pool.start_link(name: :kept, engine: :process, size: 1)
  """

  test "what a worker has had open is closed with it, though somebody has its handles" do
    vm = FreshVM.start(settings: [engine: :process, num_workers: 1], start: true)

    left =
      eval(vm, """
      #{@open}
      crash = fn ->
        {:error, %Python.CrashedError{}} = Python.eval("__import__('os')._exit(1)", pool: :kept)
        {:ok, 2} = Python.eval("1 + 1", pool: :kept)
      end

      # From the second one on, workers are forked from a process that is there then.
      crash.()
      crash.()
      before = open.()

      kept =
        for _ <- 1..5 do
          handle = Python.eval!("object()", pool: :kept, return: :object)
          stream = Python.stream_eval("iter(range(10))", max_chunk: 1, pool: :kept)
          first = fn item, _ -> {:suspend, item} end
          {:suspended, 0, rest} = Enumerable.reduce(stream, {:cont, nil}, first)
          call = Python.call_async(:time, :sleep, [0], pool: :kept)
          {:ok, 1} = Python.eval("f()", %{f: fn -> 1 end}, pool: :kept)
          crash.()
          {handle, rest, call}
        end

      left = await.(await, fn -> open.() == before end, 250)
      # They are here still.
      5 = length(kept)
      {left, before}
      """)

    assert {true, _before} = left
  end

  defp eval(vm, code) do
    {result, _} = FreshVM.call(vm, Code, :eval_string, [code])
    result
  end
end
