defmodule Python.Interpreter.Probe do
  @moduledoc false

  # Runs priv/python/probe.py under an interpreter and reads the line that it prints. Knows nothing
  # of where the interpreter came from, nor of what makes one fit.
  #
  # It runs through a port, never in a NIF: erts ignores SIGCHLD, so a child that native code waits
  # for is lost. A port also ends with its owner, and its program can be killed in time.

  alias Python.Variables

  @mark ~s({"erlang_python_probe":)
  @max_output 65_536
  @tail_lines 30
  @tail_bytes 4_000

  @type failure ::
          {:timeout, output :: String.t()}
          | {:no_start, text :: String.t()}
          | {:no_report, text :: String.t(), output :: String.t()}

  @doc """
  The report of the interpreter at `executable`, as a map with string keys. `changes` are made to its
  environment, `meanwhile` is called while it works.
  """
  @spec run(Path.t(), timeout_ms :: pos_integer, Variables.changes(), meanwhile :: (() -> term)) ::
          {:ok, map} | {:error, failure}
  def run(executable, timeout, changes \\ %{}, meanwhile \\ fn -> :ok end) do
    # A process of its own: the port's messages, and its exit signal, reach no process that calls.
    {caller, begun} = {self(), make_ref()}
    tell = fn -> send(caller, begun) end

    {pid, ref} =
      spawn_monitor(fn ->
        exit({:shutdown, {:probed, probe(executable, timeout, changes, tell)}})
      end)

    # What is done meanwhile may have the code server load modules, which a start of the program would wait for.
    receive do
      ^begun ->
        meanwhile.()
        receive(do: ({:DOWN, ^ref, :process, ^pid, reason} -> result(reason)))

      {:DOWN, ^ref, :process, ^pid, reason} ->
        result(reason)
    end
  end

  defp result({:shutdown, {:probed, result}}), do: result
  defp result(reason), do: {:error, {:no_start, inspect(reason)}}

  defp probe(executable, timeout, changes, tell) do
    deadline = now() + timeout
    opened = open(executable, changes)
    tell.()

    case opened do
      {:ok, port} ->
        # Asked now: a program that has ended has no number any more.
        os_pid = os_pid(:erlang.port_info(port, :os_pid))
        result = collect(port, deadline, "")
        finish(port, os_pid, result)
        report(result, executable)

      {:error, text} ->
        {:error, {:no_start, text}}
    end
  end

  defp os_pid({:os_pid, os_pid}), do: {:os_pid, os_pid}
  defp os_pid(:undefined), do: nil

  # With functions of Erlang's, as each module that the VM loads first delays the start.
  defp open(executable, changes) do
    script = List.to_string(:code.priv_dir(:erlang_python)) <> "/python/probe.py"
    env = Variables.for_port(changes)
    options = [:binary, :exit_status, :stderr_to_stdout, :hide, args: [script], env: env]
    {:ok, :erlang.open_port({:spawn_executable, executable}, options)}
  rescue
    error in ErlangError -> {:error, posix_text(error.original)}
  end

  defp collect(port, deadline, output) do
    receive do
      {^port, {:data, data}} ->
        output = output <> data

        case find_report(output) do
          {:ok, json} -> {:report, json}
          :none when byte_size(output) > @max_output -> {:too_much, output}
          :none -> collect(port, deadline, output)
        end

      {^port, {:exit_status, status}} ->
        {:exit, status, output}
    after
      max(0, deadline - now()) -> {:timeout, output}
    end
  end

  # Only a whole line counts: the rest of it may still be on its way.
  defp find_report(output) do
    with [_, rest] <- String.split(output, "\n" <> @mark, parts: 2),
         [line, _] <- String.split(rest, "\n", parts: 2) do
      {:ok, @mark <> line}
    else
      _ -> :none
    end
  end

  defp finish(port, os_pid, result) do
    if elem(result, 0) in [:timeout, :too_much], do: kill(os_pid)

    try do
      :erlang.port_close(port)
    rescue
      # The port closes itself when the program has ended.
      ArgumentError -> true
    end
  end

  defp kill({:os_pid, os_pid}), do: Python.Program.kill(os_pid)
  defp kill(nil), do: :ok

  defp report({:report, json}, _executable) do
    case :erlang_python_loader.report_read(json) do
      {:ok, report} ->
        {:ok, report}

      {:error, {_tag, text}} ->
        {:error, {:no_report, "its report is invalid (#{text})", json}}
    end
  end

  defp report({:timeout, output}, _executable), do: {:error, {:timeout, tail(output)}}

  defp report({:too_much, output}, _executable) do
    {:error, {:no_report, "it printed a lot, but not the expected report", tail(output)}}
  end

  defp report({:exit, status, ""}, executable) do
    {:error, {:no_start, "it ended with status #{status} and printed nothing#{hint(executable)}"}}
  end

  defp report({:exit, 0, output}, _executable) do
    {:error, {:no_report, "it did not print the expected report", tail(output)}}
  end

  defp report({:exit, status, output}, _executable) do
    {:error, {:no_report, "it ended with status #{status}", tail(output)}}
  end

  # erts gives the number of the system's error as the status when a program cannot be started.
  defp hint(executable) do
    case File.open(executable, [:read, :binary], &IO.binread(&1, 4)) do
      {:ok, <<"#!", _::binary>>} -> "; the program that its first line names may be missing"
      {:ok, <<0x7F, "ELF">>} -> "; it may be built for another system or processor"
      {:ok, _} -> "; it may not be a program of this system"
      {:error, _} -> ""
    end
  end

  defp tail(output) do
    lines =
      output
      |> String.replace(~r/\r\n?/, "\n")
      |> String.split("\n", trim: true)
      |> Enum.take(-@tail_lines)
      |> Enum.join("\n")

    lines
    |> binary_part(byte_size(lines), -min(byte_size(lines), @tail_bytes))
    |> printable()
  end

  defp printable(text) do
    for <<byte <- text>>, into: "" do
      <<if(byte in 32..126 or byte in [?\n, ?\t] or byte >= 128, do: byte, else: ??)>>
    end
    |> String.chunk(:valid)
    |> Enum.map_join(fn chunk -> if String.valid?(chunk), do: chunk, else: "?" end)
  end

  defp posix_text(reason) when is_atom(reason) do
    case :file.format_error(reason) do
      ~c"unknown POSIX error" -> "it could not be started (#{reason})"
      text -> to_string(text)
    end
  end

  defp posix_text(reason), do: "it could not be started (#{inspect(reason)})"

  defp now, do: System.monotonic_time(:millisecond)
end
