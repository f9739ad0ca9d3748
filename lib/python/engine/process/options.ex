defmodule Python.Engine.Process.Options do
  @moduledoc false

  # The options that pools and contexts of the engine `:process` have beside the common ones.

  alias Python.Schema

  # What `setrlimit` takes.
  @most 0x7FFF_FFFF_FFFF_FFFF

  @limits [:memory, :files, :processes, :cpu]

  @doc "Those of a context say nothing of its worker's successors: it has none."
  @spec schema(Python.Engine.kind()) :: Schema.t()
  def schema(:context), do: common()
  def schema(:pool), do: common() ++ lives()

  defp common do
    [
      python: %{
        type: {:check, &__MODULE__.text/1},
        allowed: "the path of an interpreter or of a virtual environment, a string",
        default: {:setting, :python_path},
        doc: "the interpreter, or the folder of a virtual environment. It needs no libpython."
      },
      env: %{
        type: {:check, &__MODULE__.env/1},
        allowed:
          ~s(a map of strings such as %{"OMP_NUM_THREADS" => "1"}, with nil to remove one, and with clear: true for ) <>
            "no others",
        default: %{},
        doc: """
        environment variables, in addition to those of the VM and of the setting `env`. `nil` removes one; with
        `clear: true` in the map there are no others.
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
        doc: ~s(what is put in front of the interpreter, such as `["nice", "-n", "10"]`.)
      },
      kill_after: %{
        type: {:integer, 0, Schema.max_timeout()},
        unit: "ms",
        default: 1_000,
        doc: "the time from the interrupt at a timeout to the end of the worker, in ms."
      },
      limits: %{
        type: {:check, &__MODULE__.limits/1},
        allowed:
          "a keyword list of positive integers for #{Enum.map_join(@limits, ", ", &inspect/1)}",
        default: [],
        doc: """
        a keyword list of what each worker may use, which the operating system sees to: `:memory` in bytes (of address
        space: take some hundred MB more than the data has), `:files` that are open, `:processes` of this user, and
        `:cpu` in seconds, at which the worker is ended by `:sigxcpu` or `:sigkill`. What a worker starts has the same
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
        workers that are started besides and run nothing until another one has ended, 0 to 1000: the next call does
        not wait for a start then.
        """
      },
      max_calls: %{
        type: {:integer_or_infinity, 1, @most},
        default: :infinity,
        doc: """
        calls and chunks of streams after which a worker is replaced, or `:infinity`. Its successor is started shortly
        before. A worker whose stream is being read stays until the end of it.
        """
      },
      max_memory: %{
        type: {:integer_or_infinity, 1, @most},
        unit: "bytes",
        default: :infinity,
        doc: """
        bytes of resident memory beyond which a worker is replaced between two calls, when its successor is ready, or
        `:infinity`. It is looked at every 250 ms.
        """
      }
    ]
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
  def command(list) when is_list(list) do
    proper = not List.improper?(list) and Enum.all?(list, &(is_binary(&1) and clean?(&1)))
    if proper and List.first(list) != "", do: {:ok, list}, else: :error
  end

  def command(_other), do: :error

  @doc false
  def env(env) when is_map(env) and not is_struct(env) do
    {clear, variables} = Map.pop(env, :clear, false)

    if is_boolean(clear) and Enum.all?(variables, &variable?/1), do: {:ok, env}, else: :error
  end

  def env(_other), do: :error

  defp variable?({name, value}) do
    is_binary(name) and name != "" and clean?(name) and not String.contains?(name, "=") and
      (value == nil or (is_binary(value) and clean?(value)))
  end

  # Nothing that the operating system has passes a zero byte on.
  defp clean?(text), do: String.valid?(text) and not String.contains?(text, <<0>>)
end
