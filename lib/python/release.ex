defmodule Python.Release do
  @moduledoc """
  Python and its packages as a part of a release, which then runs on a machine without Python.

  In `mix.exs`, after `:assemble` and before `:tar`:

      def project do
        [
          # …
          releases: [
            my_app: [steps: [:assemble, &Python.Release.bundle/1]]
          ]
        ]
      end

  What goes into the release is the environment of the setting `python`, which is made if it is not there:

      config :erlang_python, python: [version: "3.13", packages: ["numpy~=2.1"]]

  Each environment of the setting `environments` goes into a folder of its own, such as `python-old`.

  The folder `python` of the release has the interpreter, its shared library, its standard library and the packages. No
  program, library or script in it refers to the machine that it was built on, so the release can be moved. The application finds it when it
  starts; the setting `python_path`, if it is there, comes before it.

  ## Options

  In the options of the release, under `:python`:

    * `:keep` - a list of parts of the standard library that are left out without it: #{Enum.map_join(Python.Release.Build.parts(), ", ", &"`#{inspect(&1)}`")}.
      Defaults to `[]`.
    * `:compile` - whether Python's files are compiled, so that a release that cannot be written starts as fast. Defaults
      to `true`.

          my_app: [
            steps: [:assemble, &Python.Release.bundle/1, :tar],
            python: [keep: ["ensurepip"]]
          ]

  ## Which Python

  A standalone build, such as those that uv fetches, needs nothing of the machine but its C library. Other ones are copied
  from where they are installed, and need libraries of the system that they were built with (`libssl`, `libz`, …): the
  step prints their names. To have uv fetch a standalone build whatever is installed, set
  `env: %{"UV_PYTHON_PREFERENCE" => "only-managed"}` in the setting `python`.

  The release runs on the same kind of system as the machine that it was built on, as its native libraries do. Untested on
  macOS; not for Windows.
  """

  alias Python.Release.Build
  alias Python.Settings

  @doc """
  Returns the release, with Python in it: a step of `mix release`.

  See the [options](#module-options). Raises `Mix.Error` with what failed and what to do.

  ## Examples

      iex> is_function(&Python.Release.bundle/1)
      true
  """
  @spec bundle(release) :: release when release: struct
  def bundle(%{path: path, options: options} = release) do
    # As the task itself: `mix release --quiet`.
    show = if Keyword.get(options, :quiet, false), do: fn _line -> :ok end, else: &show/1

    case make(path, Keyword.get(options, :python, []), show) do
      {:ok, bundles} ->
        # What is in a tar, too.
        folders = for %{folder: folder} <- bundles, do: Path.basename(folder)
        %{release | overlays: Enum.uniq(folders ++ release.overlays)}

      {:error, error} ->
        # Nothing of Mix is needed to compile this.
        raise Module.concat(["Mix", "Error"]), message: Exception.message(error)
    end
  end

  @doc """
  Puts Python and the packages of the setting `python` into the folder of a release that another tool has made, such as
  rebar3. Returns `{:ok, infos}` or `{:error, exception}`.

  Each of `infos`, one for each environment, is a map with the `:folder`, the `:python_version`, the number of `:packages`, the `:size` in bytes, and the names of
  the libraries in `:machine` that the machine is to have. The [options](#module-options) are those of `bundle/1`.

      'Elixir.Python.Release':bundle_into(<<"_build/prod/rel/my_app">>, []).

  ## Examples

      iex> {:error, error} = Python.Release.bundle_into("/no/such/release")
      iex> error.reason
      :invalid
  """
  @spec bundle_into(Path.t(), keyword) :: {:ok, [map]} | {:error, Exception.t()}
  def bundle_into(folder, options \\ []), do: make(folder, options, &show/1)

  defp make(folder, options, show) do
    # Its settings are there when it is loaded.
    _ = Application.load(:erlang_python)
    with {:ok, settings} <- Settings.fetch(), do: Build.make(folder, settings, options, show)
  end

  defp show(line), do: IO.puts("* python: " <> line)
end
