defmodule Python.Environment.Check do
  @moduledoc false

  # Whether the environment of a spec is there and is what was made, without a network. For `mix python.install --check`
  # and the doctor.

  alias Python.Environment
  alias Python.Environment.{Base, Install, Key, Lock, Requirements, Spec, Store}

  @type t :: %{
          environment: Environment.t() | nil,
          problems: [{text :: String.t(), remedy :: String.t()}],
          notes: [String.t()]
        }

  @doc "The environment, what is out of step, and what else is worth to know."
  @spec run(Spec.t()) :: t
  def run(%Spec{} = spec) do
    case {Requirements.check(spec), Lock.fetch(spec)} do
      {{:error, error}, _} -> failed(error)
      {_, {:error, error}} -> failed(error)
      {:ok, lock} -> found(spec, lock)
    end
  end

  defp failed(error),
    do: %{environment: nil, problems: [{error.message, error.remedy}], notes: []}

  defp found(spec, lock) do
    store = Spec.store(spec)
    request = Key.request(spec)

    case Store.fetch(store, request) do
      {:ok, folder} ->
        environment = Environment.new(folder, :found)
        notes = without_lock(lock, spec) ++ other_base(spec, store, request, environment)

        %{
          environment: environment,
          problems: gone(environment) ++ changed(environment),
          notes: notes
        }

      :none ->
        error = Environment.not_installed(spec, store)

        %{
          environment: nil,
          problems: [{error.message, error.remedy}],
          notes: without_lock(lock, spec)
        }
    end
  end

  defp without_lock(:none, _spec),
    do: ["nothing pins the versions: `mix python.lock` writes a lock"]

  defp without_lock(_lock, _spec), do: []

  defp gone(%{interpreter: interpreter, mark: mark}) do
    if File.exists?(interpreter),
      do: [],
      else: [
        {"the interpreter that it was made with is gone: #{mark[:base]}",
         "Run `mix python.install --force`."}
      ]
  end

  defp changed(%{folder: folder, mark: mark}) do
    now = Map.new(Install.packages(folder))
    made = Map.new(mark[:packages] || [])

    names =
      for name <- Enum.sort(Map.keys(Map.merge(now, made))), now[name] != made[name] do
        "#{name} is #{now[name] || "gone"}, was #{made[name] || "not there"}"
      end

    if names == [],
      do: [],
      else: [
        {"its packages were changed since it was made: #{Enum.join(names, "; ")}",
         "Run `mix python.install --force`."}
      ]
  end

  # It works, and would be made with another one now.
  defp other_base(spec, store, request, environment) do
    case Base.find(%{spec | offline: true}, store, fn _line -> :ok end) do
      {:ok, interpreter} ->
        if Key.environment(request, interpreter) == Path.basename(environment.folder),
          do: [],
          else: [
            "`mix python.install` would make it with #{interpreter.executable}, Python #{interpreter.version_string}"
          ]

      {:error, error} ->
        ["there is no Python to make it again: #{error.message}"]
    end
  end
end
