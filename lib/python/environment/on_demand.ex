defmodule Python.Environment.OnDemand do
  @moduledoc false

  # `Python.install/2`: an environment for a Python that has not started yet, which it then starts with; packages for
  # one that runs.

  alias Python.Environment
  alias Python.Environment.{Additions, Install, Queue, Secrets, Spec}
  alias Python.{InstallError, Runtime, Settings}
  alias Python.Release.Bundle

  @what "the options of Python.install/2"

  @type result :: %{
          python: String.t(),
          folder: Path.t() | nil,
          packages: [{String.t(), String.t()}]
        }

  @doc "The spec of what was given. Raises an `ArgumentError` for what is not allowed."
  @spec spec!(term, term) :: {Spec.t(), quiet :: boolean}
  def spec!(packages_or_options, options) do
    unless Keyword.keyword?(options) do
      raise ArgumentError,
            "expected #{@what} to be a keyword list, got: #{Secrets.inspect(options)}"
    end

    given =
      cond do
        packages_or_options == [] -> [packages: []]
        Keyword.keyword?(packages_or_options) -> packages_or_options
        is_list(packages_or_options) -> [packages: packages_or_options]
        true -> refuse(packages_or_options)
      end

    {quiet, given} = boolean!(given ++ options, :quiet)
    {pool, given} = boolean!(given, :pool)

    case Spec.new(given, @what) do
      # As the option of a pool has it.
      {:ok, spec} when pool -> {%{spec | embed: false, name: false, configured: false}, quiet}
      {:ok, spec} -> {%{spec | configured: false}, quiet}
      {:error, error} -> raise error
    end
  end

  defp boolean!(options, key) do
    {value, options} = Keyword.pop(options, key, false)

    unless is_boolean(value) do
      raise ArgumentError,
            "expected the key #{inspect(key)} of #{@what} to be true or false, got: #{Secrets.inspect(value)}"
    end

    {value, options}
  end

  @spec refuse(term) :: no_return
  defp refuse(given) do
    hint = if is_binary(given), do: ". Did you mean [#{Secrets.inspect(given)}]?", else: ""

    raise ArgumentError,
          ~s(expected a list of packages such as ["numpy~=2.1"], or options such as [requirements: "requirements.txt"], ) <>
            "got: #{Secrets.inspect(given)}#{hint}"
  end

  @doc "Installs, one at a time."
  @spec run(Spec.t(), boolean) :: {:ok, result} | {:error, Exception.t()}
  def run(spec, quiet) do
    show = if quiet, do: fn _line -> :ok end, else: &IO.puts/1
    Queue.run(fn -> choose(spec, show) end)
  end

  # Of a pool: nothing else has to do with it.
  defp choose(%{name: false} = spec, show) do
    with {:ok, environment} <- Install.run(spec, show), do: {:ok, result(environment)}
  end

  defp choose(spec, show) do
    with {:ok, settings} <- Settings.fetch() do
      cond do
        Additions.running?() -> add(spec, Runtime.interpreter(), show)
        failed?() -> not_running(settings, spec, show)
        # What is in a release was installed when it was built.
        Bundle.find() != :none -> add(spec, start(), show)
        settings.python -> configured(with_changes(settings.python, spec), spec, show)
        settings.python_path -> add(spec, start(), show)
        true -> before_start(spec, show)
      end
    end
  end

  defp failed? do
    case Runtime.status() do
      {:error, %{reason: :not_started}} -> false
      {:error, _error} -> true
      _ -> false
    end
  end

  # The start has missed the environment of the configuration: it is made for the next one.
  defp not_running(%{python: %Spec{} = configured}, spec, show) do
    {:error, error} = Runtime.status()

    if error.reason == :not_installed and nothing?(spec) do
      with {:ok, environment} <- Install.run(with_changes(configured, spec), show) do
        show.("Python starts with it when the application :erlang_python starts again")
        {:ok, result(environment)}
      end
    else
      {:error, not_running(error)}
    end
  end

  defp not_running(_settings, _spec, _show) do
    {:error, error} = Runtime.status()
    {:error, not_running(error)}
  end

  defp not_running(error) do
    InstallError.new(:no_python, String.trim_trailing(error.message, "."),
      remedy:
        "Set start: :lazy, so that Python starts after Python.install/2, and restart the VM. #{error.remedy}"
    )
  end

  defp start do
    case Runtime.status() do
      {:error, error} -> {:error, error}
      _idle -> Runtime.ensure()
    end
  end

  ## Before the start

  # What was asked for before is there, too.
  defp before_start(spec, show) do
    with {:ok, spec} <- merge(Environment.remembered(), spec),
         {:ok, environment} <- Install.run(spec, show) do
      Environment.remember(spec, environment)
      {:ok, result(environment)}
    end
  end

  defp merge(nil, spec), do: {:ok, spec}
  defp merge({before, _environment}, before), do: {:ok, before}

  defp merge({%{packages: first} = before, _environment}, %{packages: second} = spec)
       when is_list(first) and is_list(second) do
    if spec.version in [nil, before.version] or before.version == nil do
      {:ok,
       %{spec | version: spec.version || before.version, packages: Enum.uniq(first ++ second)}}
    else
      {:error, two(before, spec)}
    end
  end

  defp merge({before, _environment}, spec), do: {:error, two(before, spec)}

  defp two(before, spec) do
    InstallError.new(
      :invalid,
      "an environment with #{Spec.describe(before)} was asked for before, and now one with #{Spec.describe(spec)}",
      remedy: "Ask for all in one call of Python.install/2."
    )
  end

  # How to reach an index may be said by the call.
  defp with_changes(configured, spec),
    do: %{configured | offline: configured.offline or spec.offline}

  defp configured(configured, spec, show) do
    with {:ok, environment} <- Install.run(configured, show) do
      if nothing?(spec), do: {:ok, result(environment)}, else: add(spec, start(), show)
    end
  end

  defp nothing?(%{packages: packages, requirements: nil, project: nil}), do: packages in [nil, []]
  defp nothing?(_spec), do: false

  defp result(environment) do
    %{
      python: environment.mark.python,
      folder: environment.folder,
      packages: environment.mark.packages
    }
  end

  ## While it runs

  defp add(_spec, {:error, error}, _show), do: {:error, error}

  defp add(spec, {:ok, interpreter}, show) do
    with {:ok, added} <-
           if(nothing?(spec),
             do: {:ok, %{folder: nil, packages: []}},
             else: Additions.add(spec, interpreter, show)
           ) do
      {:ok, Map.put(added, :python, interpreter.version_string)}
    end
  end
end
