defmodule Python.Engine.Process.Options do
  @moduledoc false

  # The options of pools and contexts with the engine `:process`, in addition to the common ones.

  alias Python.Environment.Spec
  alias Python.{Schema, Secret}

  # What `setrlimit` takes.
  @most 0x7FFF_FFFF_FFFF_FFFF

  @limits [:memory, :files, :processes, :cpu]

  @doc "A context has one worker and no successors, so it has none of the options for these."
  @spec schema(Python.Engine.kind()) :: Schema.t()
  def schema(:context), do: common()
  def schema(:pool), do: common() ++ lives()

  defp common do
    [
      python: %{
        type: {:parse, &__MODULE__.python/1},
        default: {:setting, :python_path},
        default_text: "",
        doc: """
        the interpreter, or the folder of a virtual environment. It needs no libpython. Or an environment of its own, in
        the words of the setting `python`: `python: [packages: ["numpy~=1.26"]]`, or the name of one of the setting
        `environments`; see the guide [Engines](engines.md#an-environment-of-its-own). Defaults to those of the settings `python_path` and `python`.
        """
      },
      env: %{
        type: {:check, &__MODULE__.env/1},
        allowed:
          ~s(a map of strings such as %{"OMP_NUM_THREADS" => "1"}, with nil to remove one, and with clear: true for ) <>
            "no others",
        default: %{},
        doc: """
        environment variables, in addition to those of the VM and of the setting `env`. `nil` removes one; with
        `clear: true` in the map, only those of the map are set.
        """
      },
      cd: %{
        type: {:check, &__MODULE__.text/1},
        allowed: "the path of a folder, a string",
        default: nil,
        default_text: " Defaults to the current folder.",
        doc: "the folder that the workers start in."
      },
      command: %{
        type: {:check, &__MODULE__.command/1},
        allowed: ~s(a list of strings, such as ["nice", "-n", "10"]),
        default: [],
        doc: ~s(a command that runs the interpreter, such as `["nice", "-n", "10"]`.)
      },
      kill_after: %{
        type: {:integer, 0, Schema.max_timeout()},
        unit: "ms",
        default: 1_000,
        doc: "how long code may go on after its timeout, in ms, until its worker is killed."
      },
      limits: %{
        type: {:check, &__MODULE__.limits/1},
        allowed:
          "a keyword list of positive integers for #{Enum.map_join(@limits, ", ", &inspect/1)}",
        default: [],
        doc: """
        limits of each worker, a keyword list. The operating system enforces them: `:memory` in bytes of address space
        (some hundred MB more than the data), open `:files`, `:processes` of this user, and `:cpu` in seconds, after which
        the worker is ended by `:sigxcpu`, or a second later by `:sigkill`. Processes that a worker starts have the same
        limits. A worker of a pool that raises a `MemoryError` at its limit is replaced.
        """
      }
    ]
  end

  defp lives do
    [
      spares: %{
        type: {:integer, 0, 1_000},
        default: 0,
        doc: """
        further workers that are kept ready, 0 to 1000. One of them replaces a worker that has ended, so that the next
        call does not wait for a start.
        """
      },
      preload: %{
        type: {:check, &__MODULE__.preload/1},
        allowed: ~s(a list of names of modules, such as ["pandas", "my_app.models"]),
        default: [],
        doc: """
        modules that are imported once, in the process from which the workers are forked (on Linux): a worker starts in
        a few ms then, and shares the memory. See the guide [Engines](engines.md#preloading-modules).
        """
      },
      max_calls: %{
        type: {:integer_or_infinity, 1, @most},
        default: :infinity,
        doc: """
        the number of calls and chunks of streams after which a worker is replaced, or `:infinity`. Its successor is
        started shortly before. A worker whose stream is being read stays until the end of the stream.
        """
      },
      max_memory: %{
        type: {:integer_or_infinity, 1, @most},
        unit: "bytes",
        default: :infinity,
        doc: """
        resident memory in bytes, or `:infinity`. A worker with more is replaced between two calls, when its successor is
        ready. The memory is checked every 250 ms.
        """
      }
    ]
  end

  # A path, or what an environment is to have. The URL of an index may have a password in it.
  @doc false
  def python(%Secret{} = secret), do: secret |> Secret.reveal() |> python()

  def python([{key, _value} | _] = options) when is_atom(key) do
    case Spec.new(options, "the option :python") do
      {:ok, spec} -> Secret.hide(%{spec | embed: false, name: false, configured: false})
      {:error, error} -> raise error
    end
  end

  def python(name) when is_atom(name) and name not in [nil, true, false] do
    environments = Python.Settings.read!().environments

    if spec = environments[name] do
      Secret.hide(spec)
    else
      there_are =
        if environments == [],
          do: "is not set",
          else: "has #{Python.Arguments.list(Keyword.keys(environments))}"

      raise ArgumentError,
            "there is no environment #{inspect(name)} for the option :python; the setting :environments of :erlang_python " <>
              there_are
    end
  end

  def python(path) do
    case text(path) do
      {:ok, path} ->
        path

      :error ->
        raise ArgumentError,
              "expected the option :python to be the path of an interpreter or of a virtual environment, a string, or a " <>
                ~s(keyword list such as [packages: ["numpy~=1.26"]], or a name of the setting :environments, got: #{Python.Arguments.short(path)})
    end
  end

  @doc false
  def text(nil), do: {:ok, nil}

  def text(text) when is_binary(text) do
    if text != "" and clean?(text), do: {:ok, text}, else: :error
  end

  def text(_other), do: :error

  @doc false
  def limits(limits) do
    valid = fn {key, limit} -> key in @limits and is_integer(limit) and limit in 1..@most end
    if Keyword.keyword?(limits) and Enum.all?(limits, valid), do: {:ok, limits}, else: :error
  end

  @doc false
  def preload(names) when is_list(names) do
    with false <- List.improper?(names),
         names = Enum.map(names, &name/1),
         true <-
           Enum.all?(
             names,
             &(is_binary(&1) and &1 =~ ~r/\A[\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)*\z/u)
           ) do
      {:ok, names}
    else
      _ -> :error
    end
  end

  def preload(_other), do: :error

  defp name(name) when is_atom(name) and name not in [nil, true, false], do: Atom.to_string(name)
  defp name(name), do: if(is_binary(name) and String.valid?(name), do: name)

  @doc false
  def command(list) when is_list(list) do
    proper = not List.improper?(list) and Enum.all?(list, &(is_binary(&1) and clean?(&1)))
    if proper and List.first(list) != "", do: {:ok, list}, else: :error
  end

  def command(_other), do: :error

  # A variable may be a password.
  @doc false
  def env(%Secret{} = secret), do: secret |> Secret.reveal() |> env()

  def env(env) when is_map(env) and not is_struct(env) do
    {clear, variables} = Map.pop(env, :clear, false)

    if is_boolean(clear) and Enum.all?(variables, &variable?/1),
      do: {:ok, Secret.hide(env)},
      else: :error
  end

  def env(_other), do: :error

  defp variable?({name, value}) do
    is_binary(name) and name != "" and clean?(name) and not String.contains?(name, "=") and
      (value == nil or (is_binary(value) and clean?(value)))
  end

  # The operating system takes no zero byte.
  defp clean?(text), do: String.valid?(text) and not String.contains?(text, <<0>>)
end
