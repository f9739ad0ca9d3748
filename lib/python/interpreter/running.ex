defmodule Python.Interpreter.Running do
  @moduledoc false

  # What the interpreter of this VM was started with. It cannot be ended, and lives on when the application
  # is stopped: another start gets the same one, or none. Looks at files; runs nothing.

  alias Python.{Arguments, Interpreter, NotStartedError, Settings}

  # What Python is started with. The other settings are those of the application.
  @settings [:thread_stack_size, :stdio, :logging, :env, :paths, :native_layouts, :native_memory]

  # An interpreter has several names, and so may its folders. The packages are those of the prefix.
  @same [
    :version_string,
    :build,
    :prefix,
    :exec_prefix,
    :base_prefix,
    :base_exec_prefix,
    :libpython
  ]

  @doc "An interpreter is about to be started with these settings."
  @spec remember(Interpreter.t(), Settings.t()) :: :ok
  def remember(interpreter, settings) do
    :persistent_term.put(__MODULE__, {interpreter, Map.take(settings, @settings)})
  end

  @doc """
  The interpreter that is to be used where this one is wanted: the one that was started, if it is the same, and
  this one if none was. An error if it is another, or was started with other settings.
  """
  @spec check(Interpreter.t(), Settings.t()) ::
          {:ok, Interpreter.t()} | {:error, NotStartedError.t()}
  def check(wanted, settings) do
    case :persistent_term.get(__MODULE__, nil) do
      nil -> {:ok, wanted}
      {running, started} -> check(wanted, settings, running, started)
    end
  end

  defp check(wanted, settings, running, started) do
    changed = for key <- @settings, Map.fetch!(settings, key) != started[key], do: key

    other =
      for key <- @same, not same?(key, Map.fetch!(wanted, key), Map.fetch!(running, key)), do: key

    cond do
      other != [] -> {:error, refuse(wanted, running, other(hd(other), wanted, running))}
      changed != [] -> {:error, refuse(wanted, running, changed(changed, started, settings))}
      # Under the names that Python has for it.
      true -> {:ok, %{running | source: wanted.source, tried: wanted.tried}}
    end
  end

  defp same?(_key, value, value), do: true
  defp same?(key, _one, _other) when key in [:version_string, :build], do: false
  defp same?(_key, path, other), do: same_file?(path, other)

  defp same_file?(one, other) do
    with {:ok, one} <- File.stat(one), {:ok, other} <- File.stat(other) do
      # Windows has no such numbers.
      one.inode != 0 and {one.major_device, one.inode} == {other.major_device, other.inode}
    else
      _ -> false
    end
  end

  ## The error

  defp refuse(wanted, running, cause) do
    NotStartedError.new(:init_failed, %{
      what: "the interpreter #{wanted.executable}",
      cause: "#{cause}; an interpreter lives as long as the VM",
      source: wanted.source,
      tried: wanted.tried,
      running: running.executable,
      remedy:
        "Restart the VM to change that. With what was set before, the application starts again in this one."
    })
  end

  defp other(key, wanted, running) do
    name = key |> to_string() |> String.replace("_string", "") |> String.replace("_", " ")

    "another one runs in this VM, #{running.executable}, whose #{name} is #{Map.fetch!(running, key)} and not " <>
      "#{Map.fetch!(wanted, key)}"
  end

  defp changed(keys, started, settings) do
    changes = for key <- keys, do: change(key, started[key], Map.fetch!(settings, key))
    "it runs in this VM, and was started with #{Enum.join(changes, " and ")}"
  end

  # The values may be secrets.
  defp change(:env, started, wanted) do
    names =
      for name <- Enum.sort(Map.keys(Map.merge(started, wanted))),
          Map.fetch(started, name) != Map.fetch(wanted, name),
          do: name

    "another :env (#{Arguments.list(names)})"
  end

  defp change(:paths, started, wanted),
    do: ":paths #{inspect(started)} instead of #{inspect(wanted)}"

  defp change(key, started, wanted), do: "#{inspect(key)} #{started} instead of #{wanted}"
end
