defmodule Python.Peaks do
  @moduledoc false

  # How much memory a VM of its own takes while it does something, for tests of what is freed in time.

  import ExUnit.Assertions

  alias Python.FreshVM

  @attempts 3

  # `measure` does something in a process that has a large heap, which no small garbage moves the VM to collect.
  @measure ~S'''
  many = Enum.to_list(1..300_000)
  times = fn count, fun -> Enum.each(1..count, fn _ -> fun.() end) end
  resident = fn ->
    [_, kb] = Regex.run(~r/VmRSS:\s+(\d+)/, File.read!("/proc/self/status"))
    div(String.to_integer(kb), 1_000)
  end
  measure = fn name, fun ->
    before = resident.()
    worker = Task.async(fn -> {length(many), fun.()} end)
    watch = fn watch, most ->
      case Task.yield(worker, 2) do
        nil -> watch.(watch, max(most, resident.()))
        {:ok, _} -> max(most, resident.())
      end
    end
    IO.puts("peak of #{name}: #{watch.(watch, 0) - before}")
  end
  '''

  @doc "For the end of a prelude: before each kind, what the one before has left is freed."
  def settling do
    ~S'''
    start = resident.()
    free = fn -> Enum.each(Process.list(), &:erlang.garbage_collect/1) end
    settle = fn settle, left ->
      free.()
      if left > 0 and resident.() > start + 100, do: Process.sleep(20) && settle.(settle, left - 1)
    end
    measure = fn name, fun ->
      settle.(settle, 50)
      measure.(name, fun)
    end
    '''
  end

  @doc """
  Sees that the memory stays below so many MB with each kind, `{name, code}`.

  The prelude and the kinds find `many`, `times`, `resident` and `measure`, which prints the peak of a name. Where others
  have the processors, what frees memory may come late: what has taken too much is tried again, in another VM.
  """
  def assert_below(most, prelude, kinds, attempts \\ @attempts) do
    {peaks, output} = peaks(prelude, kinds)
    # For who looks for what each kind takes.
    if System.get_env("SHOW"), do: IO.puts(output)
    over = for {name, _} = kind <- kinds, Map.fetch!(peaks, name) >= most, do: kind

    cond do
      over == [] -> :ok
      attempts > 1 -> assert_below(most, prelude, over, attempts - 1)
      true -> flunk("more than #{most} MB, #{@attempts} times:\n#{output}")
    end
  end

  defp peaks(prelude, kinds) do
    code = for {name, code} <- kinds, do: "measure.(#{inspect(name)}, fn ->\n#{code}\nend)\n"
    code = IO.iodata_to_binary([@measure, prelude, code, "300_000 = length(many)\n"])
    {output, status} = FreshVM.run(code, timeout: 600_000)
    assert status == 0, output

    peaks =
      for {name, _} <- kinds, into: %{} do
        assert [_, peak] = Regex.run(~r/peak of #{name}: (-?\d+)/, output), output
        {name, String.to_integer(peak)}
      end

    {peaks, output}
  end
end
