defmodule Python.Native.Lock do
  @moduledoc false

  # One build at a time in a folder, whatever projects and VMs start one. Elixir has no locks of files, and a file
  # that says who is at work outlives a VM that was killed. So each puts up a notice of its own, with a name that
  # nobody else uses, and works if it then sees nobody else's whose process lives. Two that put theirs up at the
  # same time both see the other's, and both step back for a moment.

  # A number of a process may be used again, and a folder be shared by machines.
  @oldest_s 3_600

  @doc """
  Runs `work` while no other process of this machine runs one with the lock of this folder. Calls `waiting` once if it
  has to wait for that. Waits an hour at most.
  """
  @spec hold(Path.t(), (() -> any), (() -> result)) :: result when result: term
  def hold(folder, waiting, work) do
    File.mkdir_p!(folder)
    notice = Path.join(folder, "lock.#{host()}.#{System.pid()}.#{unique()}")
    take(folder, notice, waiting)

    try do
      work.()
    after
      File.rm(notice)
    end
  end

  defp take(folder, notice, waiting) do
    File.write!(notice, "")

    if Enum.any?(others(folder, notice), &live?/1) do
      File.rm!(notice)
      waiting.()
      # A build takes half a minute, and two that meet must not meet again.
      Process.sleep(50 + :rand.uniform(150))
      take(folder, notice, fn -> :ok end)
    end
  end

  defp others(folder, notice) do
    for name <- File.ls!(folder),
        String.starts_with?(name, "lock."),
        path = Path.join(folder, name),
        path != notice,
        do: path
  end

  defp live?(notice) do
    ["lock", host, pid, _unique] = notice |> Path.basename() |> String.split(".")

    case File.stat(notice, time: :posix) do
      {:error, _} -> false
      {:ok, %{mtime: since}} -> recent?(since) and (host != host() or alive?(pid))
    end
    |> tap(&unless &1, do: File.rm(notice))
  end

  defp recent?(since), do: System.os_time(:second) - since < @oldest_s

  defp alive?(pid) do
    cond do
      pid == System.pid() -> true
      File.dir?("/proc/self") -> File.dir?("/proc/#{pid}")
      kill = System.find_executable("kill") -> alive?(kill, pid)
      true -> true
    end
  end

  # One of another user is alive too.
  defp alive?(kill, pid) do
    {output, status} = System.cmd(kill, ["-0", pid], stderr_to_stdout: true)
    status == 0 or output =~ ~r/permitted/i
  end

  defp unique, do: "#{System.os_time()}-#{System.unique_integer([:positive])}"

  defp host do
    {:ok, name} = :inet.gethostname()
    name |> to_string() |> String.replace(".", "-")
  end
end
