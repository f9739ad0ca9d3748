defmodule Python.Engine.Process.NotStarted do
  @moduledoc false

  # The exception for a worker that was not started: which option of its pool is to be changed, if it may be one.

  alias Python.Environment.Spec
  alias Python.{CrashedError, NotStartedError, Secret}

  @typedoc "The options that a worker is started with. `:command`: the program that it begins with."
  @type started_by :: %{
          python: String.t() | nil,
          command: String.t() | nil,
          limits: String.t() | nil
        }

  @doc "What the reasons of a pool's workers are given with. An option may have secrets, which it has not."
  @spec started_by(map) :: started_by
  def started_by(options) do
    %{
      python: python(Secret.reveal(options.python)),
      command: List.first(options.command),
      limits: if(options.limits != [], do: inspect(options.limits))
    }
  end

  defp python(nil), do: nil
  defp python(%Spec{}), do: "the option :python"
  defp python(path), do: "the option python: #{inspect(path)}"

  @doc "A reason is a text, an exception, or how the process has ended, and may be given with the options."
  @spec exception(term) :: Exception.t()
  def exception(error) when is_exception(error), do: error

  def exception({%{} = started_by, reason}) do
    cause = cause(reason)
    details = Map.merge(%{what: "the Python process", cause: cause}, blame(cause, started_by))
    NotStartedError.new(:init_failed, details)
  end

  def exception(reason), do: exception({%{python: nil, command: nil, limits: nil}, reason})

  @doc "Why a worker cannot start in the folder of its option."
  @spec no_folder(Path.t()) :: {:error, NotStartedError.t()}
  def no_folder(folder) do
    details = %{
      what: "the option cd: #{inspect(folder)}",
      cause: "no such folder",
      remedy: "Create the folder, set the option :cd to another one, or leave it out."
    }

    {:error, NotStartedError.new(:not_found, details)}
  end

  @doc "A reason as a part of a sentence."
  @spec cause(term) :: String.t()
  def cause({%{} = _started_by, reason}), do: cause(reason)
  def cause(error) when is_exception(error), do: Exception.message(error)
  def cause({:crashed, signal, status, nil}), do: "it #{CrashedError.ended(signal, status)}"

  def cause({:crashed, _signal, _status, output} = crashed),
    do: cause(put_elem(crashed, 3, nil)) <> "; it said: " <> String.trim(output)

  def cause(text) when is_binary(text), do: text
  def cause(other), do: inspect(other)

  # What is said where a limit is too low, or cannot be set.
  @too_little ~r/\Athe limit \w+: |cannot start a thread|Too many open files|MemoryError|Cannot allocate memory|Resource temporarily unavailable/

  # The texts are those of native/erlang_python_worker/src, and the system's. Last the options whose fault it may be.
  defp blame(cause, started_by) do
    cond do
      cause =~ ~r/\A\S+ cannot be preloaded: / ->
        %{
          what: "the Python process with the option :preload",
          remedy:
            "A module of the option :preload has to be one that the Python of the pool can import: install its package " <>
              "there, add the folder of a module of your own to the setting paths, or leave it out."
        }

      started_by.limits && cause =~ @too_little ->
        %{
          what: "the Python process with the option limits: #{started_by.limits}",
          remedy: "Raise the limit that is too low, or leave it out of the option :limits."
        }

      # Of what Python itself says the command is not the cause.
      started_by.command && cause =~ ~r/\Ait / && not (cause =~ "Python 3.8 or newer") ->
        %{
          what: "the Python process with the option command: [#{inspect(started_by.command)}, …]",
          remedy:
            "The option :command has to name a program that is there and runs the interpreter, whose path follows its " <>
              "arguments: try it in a shell, followed by `python3 -c 'import sys'`, or leave it out."
        }

      started_by.python ->
        %{what: "the Python process of #{started_by.python}", source: :option}

      true ->
        %{}
    end
  end
end
