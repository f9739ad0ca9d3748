defmodule Python.Native.Lock do
  @moduledoc false

  # Allows one build at a time in a folder, for all projects and VMs. Elixir has no file locks, and a lock file would
  # stay behind when its VM is killed. So each process writes a file with a unique name, and touches it for as long as it
  # works. It works if it then finds no file of another living process. Two that write theirs at the same time see each
  # other, remove their files, and try again after a random time.

  # Files that were not touched for this long are ignored: the number of a process may be in use again, in a container
  # it mostly is, and machines may share the folder.
  @oldest_s 60
  @touch_ms 5_000

  @doc """
  Runs `work` when no other process holds the lock of this folder. Calls `waiting` once if it has to wait. It does not
  wait for a process that was killed, or for a minute at most if there is no telling.
  """
  @spec hold(Path.t(), (() -> any), (() -> result)) :: result when result: term
  def hold(folder, waiting, work) do
    File.mkdir_p!(folder)
    notice = Path.join(folder, "lock.#{host()}.#{System.pid()}.#{unique()}")
    toucher = touch_for(self(), notice)

    try do
      take(folder, notice, waiting)
      work.()
    after
      send(toucher, :done)
      File.rm(notice)
    end
  end

  defp touch_for(worker, notice) do
    spawn(fn -> touch(Process.monitor(worker), notice) end)
  end

  defp touch(worker, notice) do
    receive do
      :done -> :ok
      # Who was killed has removed nothing.
      {:DOWN, ^worker, :process, _pid, _reason} -> File.rm(notice)
    after
      @touch_ms ->
        # It is not made again once it is gone.
        with {:ok, stat} <- File.stat(notice, time: :posix),
             do: File.write_stat(notice, %{stat | mtime: System.os_time(:second)}, time: :posix)

        touch(worker, notice)
    end
  end

  defp take(folder, notice, waiting) do
    File.write!(notice, "")

    if Enum.any?(others(folder, notice), &live?/1) do
      File.rm!(notice)
      waiting.()
      # A random time, so that two that have met do not meet again.
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
    with ["lock", host, pid, _unique] <- notice |> Path.basename() |> String.split("."),
         {:ok, %{mtime: since}} <- File.stat(notice, time: :posix) do
      recent?(since) and alive?(host, pid)
    else
      # Gone, or not ours.
      _ -> false
    end
    |> tap(&unless &1, do: File.rm(notice))
  end

  # What is of the future was written before a clock was set back, or by another clock: it would stay so for long.
  defp recent?(since), do: abs(System.os_time(:second) - since) < @oldest_s

  @doc "Whether the process with this number lives on a host, as far as can be told."
  @spec alive?(String.t(), String.t()) :: boolean
  def alive?(host, pid) do
    cond do
      host != host() -> true
      pid == System.pid() -> true
      File.dir?("/proc/self") -> File.dir?("/proc/#{pid}")
      kill = System.find_executable("kill") -> answers?(kill, pid)
      true -> true
    end
  end

  # A process of another user may not be signalled, but is alive.
  defp answers?(kill, pid) do
    {output, status} = System.cmd(kill, ["-0", pid], stderr_to_stdout: true)
    status == 0 or output =~ ~r/permitted/i
  end

  defp unique, do: "#{System.os_time()}-#{System.unique_integer([:positive])}"

  @doc "The name of this host, without a dot."
  @spec host() :: String.t()
  def host do
    {:ok, name} = :inet.gethostname()
    name |> to_string() |> String.replace(".", "-")
  end
end
