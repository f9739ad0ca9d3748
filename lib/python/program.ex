defmodule Python.Program do
  @moduledoc false

  # Programs that run in a port, to their end: uv and pip. Their output is shown line by line and kept for an error. A
  # program that takes too long, or whose caller has ended, is killed with its children.
  #
  # A port tells of the end when the output is closed, which may be held by a child that lives on, such as the server of a
  # compiler's cache. So a shell runs the program, and says when that has ended. It reads nothing of the arguments.

  alias Python.Deadline
  require Bitwise

  @kept_lines 300
  # A line is no longer than this: the rest of it is left out.
  @longest_line 65_536

  @shell "/bin/sh"
  # The first argument is what the status is said with.
  @script ~S(end=$1; shift; "$@"; status=$?; printf '%s%s\n' "$end" "$status"; exit $status)

  @type failure ::
          {:exit, status :: non_neg_integer, output :: String.t()}
          | {:timeout, output :: String.t()}
          | {:no_start, text :: String.t()}

  @doc """
  The output of a program that ends with status 0.

    * `:env` - changes to the environment, `nil` removes a variable;
    * `:cd` - the folder to run in;
    * `:timeout` - in ms;
    * `:show` - called with each line;
    * `:mask` - what is done to each line before it is shown or kept; `nil` drops it.
  """
  @spec run(Path.t(), [String.t()], keyword) :: {:ok, String.t()} | {:error, failure}
  def run(program, arguments, options) do
    caller = self()

    # A process of its own: the port's messages, and its exit signal, reach no process that calls.
    {pid, ref} =
      spawn_monitor(fn ->
        exit({:shutdown, {:ran, start(program, arguments, options, caller)}})
      end)

    receive do
      {:DOWN, ^ref, :process, ^pid, {:shutdown, {:ran, result}}} -> result
      {:DOWN, ^ref, :process, ^pid, reason} -> {:error, {:no_start, inspect(reason)}}
    end
  end

  defp start(program, arguments, options, caller) do
    caller = Process.monitor(caller)

    mark = "erlang_python_end_#{System.unique_integer([:positive])}_#{System.os_time()}:"

    case open(program, arguments, mark, options) do
      {:ok, port} ->
        # Asked now: a program that has ended has no number any more.
        os_pid = with {:os_pid, os_pid} <- Port.info(port, :os_pid), do: os_pid

        follow(%{
          port: port,
          os_pid: os_pid,
          caller: caller,
          deadline: Deadline.in_ms(options[:timeout]),
          show: Keyword.get(options, :show, fn _line -> :ok end),
          mask: Keyword.get(options, :mask, & &1),
          mark: mark,
          part: "",
          lines: [],
          status: nil
        })

      {:error, text} ->
        {:error, {:no_start, text}}
    end
  end

  defp open(program, arguments, mark, options) do
    program = Path.expand(program)

    with :ok <- executable(program) do
      {program, arguments} = in_shell(program, arguments, mark)
      open_port(program, arguments, options)
    end
  end

  # What the port would say of the program it says of the shell.
  defp executable(program) do
    case File.stat(program) do
      {:ok, %{type: :regular, mode: mode}} when Bitwise.band(mode, 0o111) != 0 -> :ok
      {:ok, _} -> {:error, to_string(:file.format_error(:eacces))}
      {:error, reason} -> {:error, to_string(:file.format_error(reason))}
    end
  end

  defp in_shell(program, arguments, mark) do
    if File.exists?(@shell),
      do: {@shell, ["-c", @script, "sh", mark, program | arguments]},
      else: {program, arguments}
  end

  defp open_port(program, arguments, options) do
    env = options |> Keyword.get(:env, %{}) |> Python.Variables.for_port()
    cd = for cd <- List.wrap(options[:cd]), do: {:cd, cd}
    base = [:binary, :exit_status, :stderr_to_stdout, :hide]
    {:ok, Port.open({:spawn_executable, program}, base ++ [args: arguments, env: env] ++ cd)}
  rescue
    error in ErlangError -> {:error, to_string(:file.format_error(error.original))}
  end

  # The port closes with this process.
  defp follow(%{status: status} = state) when status != nil do
    if status == 0, do: {:ok, output(state)}, else: {:error, {:exit, status, output(state)}}
  end

  defp follow(%{port: port, caller: caller} = state) do
    receive do
      {^port, {:data, data}} ->
        follow(take(state, data))

      {^port, {:exit_status, 0}} ->
        {:ok, output(state)}

      {^port, {:exit_status, status}} ->
        {:error, {:exit, status, output(state)}}

      {:DOWN, ^caller, :process, _pid, _reason} ->
        kill(state.os_pid)
        {:error, {:no_start, "its caller has ended"}}
    after
      Deadline.left(state.deadline) ->
        kill(state.os_pid)
        {:error, {:timeout, output(state)}}
    end
  end

  # What is a line is masked as a whole: a secret is not cut in two, but at the end of a line that is too long.
  defp take(state, data) do
    [first | others] = String.split(data, ["\r\n", "\n", "\r"])
    {lines, [part]} = Enum.split([longer(state.part, first) | others], -1)
    Enum.reduce_while(lines, %{state | part: part}, &take_line/2)
  end

  # After the end, a child may write more.
  defp take_line(line, state) do
    case String.split(line, state.mark) do
      [line] ->
        {:cont, keep(line, state)}

      [part, status] ->
        {:halt, %{state | part: part, status: String.to_integer(status)}}
    end
  end

  defp longer(part, _more) when byte_size(part) > @longest_line, do: part
  defp longer(part, more), do: part <> more

  defp keep(line, state) do
    case line |> printable() |> state.mask.() do
      nil ->
        state

      line ->
        line = shorter(line)
        state.show.(line)
        %{state | lines: Enum.take([line | state.lines], @kept_lines)}
    end
  end

  # Far from where it was cut.
  defp shorter(line) when byte_size(line) > @longest_line,
    do: String.slice(line, 0, 10_000) <> "…"

  defp shorter(line), do: line

  defp output(%{part: "", lines: lines}), do: lines |> Enum.reverse() |> Enum.join("\n")
  defp output(state), do: output(keep(state.part, %{state | part: ""}))

  # Programs of other languages print what they like.
  defp printable(line) do
    line
    |> String.replace(~r/\e\[[0-9;]*[A-Za-z]/, "")
    |> String.chunk(:valid)
    |> Enum.map_join(fn chunk -> if String.valid?(chunk), do: chunk, else: "?" end)
  rescue
    # The pattern is for valid text.
    _ -> inspect(line)
  end

  @doc """
  Kills a program with its process group, which erts makes for every program it starts: a wrapper script's children
  too.
  """
  @spec kill(pos_integer | nil) :: term
  def kill(nil), do: :ok

  def kill(os_pid) do
    case :os.type() do
      {:win32, _} -> :os.cmd(String.to_charlist("taskkill /F /T /PID #{os_pid}"))
      {:unix, _} -> :os.cmd(String.to_charlist("kill -KILL -#{os_pid}"))
    end
  end
end
