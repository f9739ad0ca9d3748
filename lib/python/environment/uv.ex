defmodule Python.Environment.Uv do
  @moduledoc false

  # The program uv, which resolves and installs: where it is found, and how it is run. It is the one that is
  # configured, else the one on `PATH`, else a pinned version that is downloaded (Download).

  alias Python.Environment.{Download, Failure, Indexes, Spec}
  alias Python.{InstallError, Program}

  # Older ones lack options that are used here.
  @oldest [0, 9, 0]
  # A build without a wheel may take long and say nothing.
  @timeout 3_600_000

  @enforce_keys [:path, :version, :source]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          path: Path.t(),
          version: String.t(),
          source: :configured | :path | :downloaded
        }

  @typedoc "What is called with each line of progress."
  @type show :: (String.t() -> any)

  @doc """
  The uv for a spec. `python`: the interpreter whose `pip` may fetch it, if there is one.
  """
  @spec find(Spec.t(), Path.t() | nil, Path.t(), show) :: {:ok, t} | {:error, InstallError.t()}
  def find(%Spec{uv: uv} = spec, python, store, show) do
    cond do
      uv == nil -> on_path(spec, python, store, show)
      Spec.url?(uv) -> downloaded(Download.fetch(spec, uv, store, show))
      true -> configured(uv)
    end
  end

  @doc "The uv that is there already, without a download."
  @spec present(Spec.t(), Path.t()) :: {:ok, t} | :none
  def present(%Spec{uv: uv}, store) do
    found =
      cond do
        uv == nil -> with(:none <- candidate(), do: kept(store))
        Spec.url?(uv) -> kept(store)
        true -> configured(uv)
      end

    with {:error, _} <- found, do: :none
  end

  defp configured(path) do
    case version(path) do
      {:ok, version} ->
        if new_enough?(version),
          do: {:ok, %__MODULE__{path: path, version: version, source: :configured}},
          else: {:error, too_old(path, version)}

      {:error, text} ->
        message = "#{path}, the uv of the setting python, does not work: #{text}"

        {:error,
         InstallError.new(:no_uv, message, remedy: "Correct the key :uv, or leave it out.")}
    end
  end

  defp too_old(path, version) do
    InstallError.new(:no_uv, "#{path} is uv #{version}, and #{text(@oldest)} or newer is needed",
      remedy: "Run `uv self update`, or leave out the key :uv of the setting python."
    )
  end

  defp on_path(spec, python, store, show) do
    with :none <- candidate(), :none <- kept(store) do
      downloaded(Download.get(spec, python, store, show))
    end
  end

  # One that is too old, or a stub of some version manager, is as good as none.
  defp candidate do
    with path when is_binary(path) <- System.find_executable("uv"),
         {:ok, version} <- version(path),
         true <- new_enough?(version) do
      {:ok, %__MODULE__{path: path, version: version, source: :path}}
    else
      _ -> :none
    end
  end

  defp kept(store), do: with({:ok, path} <- Download.kept(store), do: downloaded({:ok, path}))

  defp downloaded({:ok, path}) do
    case version(path) do
      {:ok, version} ->
        {:ok, %__MODULE__{path: path, version: version, source: :downloaded}}

      {:error, text} ->
        {:error,
         InstallError.new(:no_uv, "the downloaded uv, #{path}, does not work: #{text}",
           remedy:
             "Remove it. Install uv by yourself and put it on PATH, or name it: python: [uv: …]."
         )}
    end
  end

  defp downloaded({:error, error}), do: {:error, error}

  defp version(path) do
    case Program.run(path, ["--version"], timeout: 20_000, env: Indexes.clean(System.get_env())) do
      {:ok, text} ->
        case String.split(text, ~r/\s/, parts: 3) do
          ["uv", version | _] when version != "" -> {:ok, version}
          _ -> {:error, "`uv --version` said #{inspect(String.slice(text, 0, 100))}"}
        end

      {:error, {:exit, status, text}} ->
        {:error, "status #{status}: #{String.slice(text, 0, 300)}"}

      {:error, {:timeout, _}} ->
        {:error, "it did not answer"}

      {:error, {:no_start, text}} ->
        {:error, text}
    end
  end

  defp new_enough?(version) do
    with [_, major, minor, patch] <- Regex.run(~r/\A(\d+)\.(\d+)\.(\d+)/, version) do
      Enum.map([major, minor, patch], &String.to_integer/1) >= @oldest
    else
      _ -> false
    end
  end

  defp text(version), do: Enum.join(version, ".")

  @doc """
  Runs uv. `doing`: what for, as a part of a sentence.

    * `:show` - called with each line of its progress;
    * `:cd` - the folder to run in;
    * `:project` - whether the settings of the project in that folder hold.
  """
  @spec run(t, Spec.t(), String.t(), [String.t()], keyword) ::
          {:ok, String.t()} | {:error, InstallError.t()}
  def run(%__MODULE__{} = uv, spec, doing, arguments, options) do
    with {:ok, indexes} <- Indexes.of(spec) do
      # Without, uv looks for settings in this folder and above, and in those of the user and the system.
      config = if options[:project], do: [], else: ["--no-config"]
      offline = if spec.offline, do: ["--offline"], else: []

      options = [
        cd: options[:cd] || spec.base,
        env: indexes.env,
        # That folder is a temporary one.
        mask: &unless(&1 =~ ~r/\AUsing Python .* environment at/, do: indexes.mask.(&1)),
        show: options[:show] || fn _line -> :ok end,
        timeout: @timeout
      ]

      case Program.run(uv.path, arguments ++ config ++ offline, options) do
        {:ok, output} -> {:ok, output}
        {:error, failure} -> {:error, Failure.program(doing, failure)}
      end
    end
  end
end
