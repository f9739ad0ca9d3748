defmodule Python.Environment.Queue do
  @moduledoc false

  # One at a time in this VM. Not `:global.trans/3`, whose callers sleep for up to eight seconds after their turn has come.
  # Whose turn it is has a process with a name, which ends with its turn.

  @doc "Calls `work` in the calling process when no other one does so. Who is killed holds up nobody."
  @spec run((() -> result)) :: result when result: term
  def run(work) do
    {holder, monitor} = take(self())

    try do
      work.()
    after
      send(holder, :done)
      # The next call finds the name free.
      receive do: ({:DOWN, ^monitor, :process, _pid, _reason} -> :ok)
    end
  end

  defp take(caller) do
    token = make_ref()
    {holder, monitor} = spawn_monitor(fn -> hold(caller, token) end)

    receive do
      {^token, :taken} ->
        {holder, monitor}

      {:DOWN, ^monitor, :process, _pid, _reason} ->
        other = Process.monitor(__MODULE__)
        receive do: ({:DOWN, ^other, :process, _pid, _reason} -> :ok)
        take(caller)
    end
  end

  defp hold(caller, token) do
    if registered?() do
      monitor = Process.monitor(caller)
      send(caller, {token, :taken})

      receive do
        :done -> :ok
        {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
      end
    end
  end

  defp registered? do
    Process.register(self(), __MODULE__)
  rescue
    # Another one has the name.
    ArgumentError -> false
  end
end
