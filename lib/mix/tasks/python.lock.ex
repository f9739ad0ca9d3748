defmodule Mix.Tasks.Python.Lock do
  @shortdoc "Resolves the Python packages of the project and writes the lock"

  @moduledoc """
  Resolves the packages that the setting `python` asks for, and writes their versions and hashes to a file.

      mix python.lock
      mix python.lock --upgrade

  | setting | file |
  |---|---|
  | `packages: […]` | `python.lock`, beside the `mix.exs`; `python-NAME.lock` for one of the setting `environments` |
  | `requirements: "requirements.txt"` | `requirements.lock`, beside that file |
  | `project: "python"` | `uv.lock` and `python.lock`, in the project's folder |

  Keep these in version control. `mix python.install` installs what they pin, from any index. A version that is in the
  file stays, as long as it is allowed.

  ## Options

    * `--upgrade` - takes the newest versions that are allowed.
    * `--offline` - uses no network.
    * `--quiet` - prints errors only.
  """

  # A shell around Python.Environment.Lock.

  use Mix.Task

  alias Python.Environment
  alias Python.Environment.{Base, Lock, Requirements, Spec, Store, Uv}

  @switches [upgrade: :boolean, offline: :boolean, quiet: :boolean]

  @impl true
  def run(args) do
    options = Environment.Task.parse!(args, @switches, "python.lock")
    for spec <- Environment.Task.specs!(options), do: lock(spec, options)
  end

  defp lock(spec, options) do
    show = Environment.Task.show(options)
    store = Spec.store(spec)

    result =
      Store.temporary(store, fn temporary ->
        with :ok <- Requirements.check(spec),
             {:ok, interpreter} <- Base.find(spec, store, show),
             {:ok, uv} <- Uv.find(spec, interpreter.executable, store, show) do
          Lock.write(uv, spec, interpreter, options[:upgrade] == true, temporary, show)
        end
      end)

    case result do
      {:ok, path, :changed} -> show.("Wrote #{Path.relative_to_cwd(path)}")
      {:ok, path, :same} -> show.("#{Path.relative_to_cwd(path)} stays as it is")
      {:error, error} -> Mix.raise(Exception.message(error))
    end
  end
end
