defmodule Python.Interpreter.Report do
  @moduledoc false

  # Judges what an interpreter says of itself, and says why one cannot be used. A start needs it only when the interpreter has
  # answered, or runs: until then it is loaded beside the search.

  alias Python.{Interpreter, NotStartedError}
  alias Python.Interpreter.{Probe, Search}

  @oldest {3, 8, 0}
  @missing "not there"

  @doc "The error of one that gave no report."
  @spec failed(Probe.failure(), Search.candidate(), pos_integer) :: NotStartedError.t()
  def failed({:timeout, output}, candidate, timeout) do
    refuse(:probe_timeout, candidate, %{timeout: timeout, output: output}, "did not answer")
  end

  def failed({:no_start, text}, candidate, _timeout) do
    refuse(:broken, candidate, %{cause: text, output: ""}, text)
  end

  def failed({:no_report, text, output}, candidate, _timeout) do
    details = %{cause: text <> said(telling_line(output)) <> python_home(), output: output}
    refuse(:broken, candidate, details, text)
  end

  defp said(nil), do: ""
  defp said(line), do: "; it said: #{inspect(String.slice(line, 0, 300))}"

  # The most common reason for an interpreter to fail that works elsewhere.
  defp python_home do
    case System.get_env("PYTHONHOME", "") do
      "" -> ""
      home -> "; the environment variable PYTHONHOME is #{inspect(home)}"
    end
  end

  # Python ends a traceback with the line that tells; a shell script mostly starts with it.
  defp telling_line(output) do
    lines = String.split(output, "\n", trim: true)

    cond do
      line = Enum.find(lines, &String.starts_with?(&1, "Fatal Python error")) -> line
      Enum.any?(lines, &String.starts_with?(&1, "Traceback")) -> List.last(lines)
      true -> List.first(lines)
    end
  end

  ## Judging

  @doc "The interpreter that a report is of, if it is one that can be used. `embed`: in the VM."
  @spec judge(Search.candidate(), map, boolean) ::
          {:ok, Interpreter.t()} | {:error, NotStartedError.t()}
  def judge(candidate, report, embed) do
    case interpreter(candidate, report) do
      {:ok, interpreter} -> fit(interpreter, report, candidate, embed)
      :error -> {:error, nonsense(candidate, report)}
    end
  end

  defp fit(interpreter, report, candidate, embed) do
    version = %{version: interpreter.version_string, build: interpreter.build}
    bits = 8 * :erlang.system_info(:wordsize)

    cond do
      report["implementation"] != "cpython" ->
        details = Map.put(version, :implementation, implementation(report["implementation"]))
        {:error, refuse(:not_cpython, candidate, details, details.implementation)}

      interpreter.version < @oldest ->
        {:error, refuse(:too_old, candidate, version, "Python #{version.version}")}

      interpreter.free_threaded ->
        {:error, refuse(:free_threaded_unsupported, candidate, version, "free-threaded")}

      report["pointer_bits"] != bits ->
        cause = "it has #{report["pointer_bits"]}-bit pointers, the VM #{bits}-bit ones"
        {:error, refuse(:wrong_architecture, candidate, Map.put(version, :cause, cause), cause)}

      embed and interpreter.libpython == nil ->
        {:error, not_embeddable(candidate.what, interpreter)}

      true ->
        {:ok, interpreter}
    end
  end

  defp interpreter(candidate, report) do
    with %{
           "version" => [major, minor, micro],
           "version_string" => version,
           "build" => build,
           "executable" => executable,
           "libpython" => libpython,
           "libpython_tried" => libpython_tried,
           "prefix" => prefix,
           "exec_prefix" => exec_prefix,
           "base_prefix" => base_prefix,
           "base_exec_prefix" => base_exec_prefix,
           "free_threaded" => free_threaded,
           "debug" => debug,
           "venv" => venv
         } <- report,
         true <- Enum.all?([major, minor, micro], &is_integer/1),
         true <- Enum.all?([version, build, prefix, exec_prefix, base_prefix], &is_binary/1),
         true <- is_binary(base_exec_prefix) and is_list(libpython_tried),
         true <- Enum.all?([executable, libpython], &(is_binary(&1) or &1 == nil)) do
      {:ok,
       %Interpreter{
         version: {major, minor, micro},
         version_string: version,
         build: build,
         executable: executable || candidate.executable,
         libpython: libpython,
         prefix: prefix,
         exec_prefix: exec_prefix,
         base_prefix: base_prefix,
         base_exec_prefix: base_exec_prefix,
         free_threaded: free_threaded == true,
         debug: debug == true,
         source: candidate.source,
         venv: if(venv == true, do: prefix),
         tried: candidate.tried ++ libraries(libpython_tried, libpython)
       }}
    else
      _ -> :error
    end
  end

  defp libraries(missing, found) do
    Enum.map(missing, &{&1, @missing}) ++ if(found, do: [{found, "there"}], else: [])
  end

  @doc "The error of an interpreter without a libpython."
  @spec not_embeddable(String.t(), Interpreter.t()) :: NotStartedError.t()
  def not_embeddable(what, interpreter) do
    missing = for {path, @missing} <- interpreter.tried, do: path
    no_shared_library(what, interpreter, nowhere(missing))
  end

  defp nowhere(paths) do
    names = paths |> Enum.map(&Path.basename/1) |> Enum.uniq() |> Enum.join(" or ")
    folders = paths |> Enum.map(&Path.dirname/1) |> Enum.uniq() |> Enum.join(", ")
    "there is no #{names} in #{folders}"
  end

  defp nonsense(candidate, report) do
    text = "its report is invalid"
    refuse(:broken, candidate, %{cause: text, output: inspect(report)}, text)
  end

  @doc "The same, with the cause."
  @spec no_shared_library(String.t(), Interpreter.t(), String.t()) :: NotStartedError.t()
  def no_shared_library(what, interpreter, cause) do
    NotStartedError.new(:no_shared_library, %{
      what: what,
      cause: cause,
      version: interpreter.version_string,
      prefix: interpreter.base_prefix,
      source: interpreter.source,
      tried: interpreter.tried
    })
  end

  defp refuse(reason, candidate, details, outcome) do
    tried = candidate.tried ++ [{candidate.executable, outcome}]

    NotStartedError.new(
      reason,
      candidate
      |> Map.take([:what, :source, :executable])
      |> Map.merge(details)
      |> Map.put(:tried, tried)
    )
  end

  defp implementation("pypy"), do: "PyPy"
  defp implementation("graalpy"), do: "GraalPy"
  defp implementation(name), do: to_string(name)
end
