defmodule Python.Wheels do
  @moduledoc false

  # Packages made by hand, so that a test about installing needs no network; and the uv that installs them, which comes
  # by pip once and is kept in `_build`.

  alias Python.Environment.{Spec, Uv}
  alias Python.Native.Lock

  @doc "Writes a wheel into a folder. `:requires`: what it needs, `:files`: of modules. Returns its path."
  def write(folder, name, version, options \\ []) do
    file = "#{name}-#{version}-py3-none-any.whl"
    path = Path.join(folder, file)
    File.mkdir_p!(folder)
    File.write!(path, wheel(name, version, options))
    path
  end

  @doc "The content of a wheel."
  def wheel(name, version, options \\ []) do
    info = "#{name}-#{version}.dist-info"
    requires = for text <- options[:requires] || [], do: "Requires-Dist: #{text}\n"

    files =
      Map.merge(
        %{
          "#{info}/METADATA" =>
            "Metadata-Version: 2.1\nName: #{name}\nVersion: #{version}\n#{requires}\n",
          "#{info}/WHEEL" =>
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        },
        options[:files] || %{"#{name}.py" => "version = #{inspect(version)}\n"}
      )

    record = Enum.map_join(files, fn {path, _} -> "#{path},,\n" end) <> "#{info}/RECORD,,\n"

    entries =
      for {path, text} <- Map.put(files, "#{info}/RECORD", record),
          do: {String.to_charlist(path), IO.iodata_to_binary(text)}

    {:ok, {_name, archive}} = :zip.create(~c"wheel", entries, [:memory])
    archive
  end

  @doc "The hash of a file, as indexes write it."
  def sha256(content), do: Base.encode16(:crypto.hash(:sha256, content), case: :lower)

  @doc "The uv of the suite, or why there is none."
  def uv do
    store = Python.Checkout.path("_build/environments")
    spec = %Spec{base: "."}

    found =
      with :none <- Uv.present(spec, store) do
        # Test files are loaded at the same time, and other VMs may run tests.
        Lock.hold(store <> ".lock", fn -> :ok end, fn ->
          Uv.find(spec, python(), store, fn _line -> :ok end)
        end)
      end

    with {:ok, uv} <- found, do: {:ok, uv.path}
  end

  @doc "The reason to skip the tests that need it, if there is one; it is told."
  def skip(env) do
    case uv() do
      {:ok, _path} ->
        false

      {:error, error} ->
        IO.puts("#{Path.relative_to_cwd(env.file)} is skipped: there is no uv: #{error.message}")
        "no uv: #{error.message}"
    end
  end

  @doc "The Python of the suite, below its virtual environment."
  def python, do: Python.call!(:os, "path.realpath", [Python.Engines.python()])

  @doc """
  Options for an environment that is made with the suite's Python, with a store, a cache and a folder of wheels below a
  folder of the test.
  """
  def options(folder, options) do
    {:ok, uv} = uv()

    base = [
      uv: uv,
      cache: Path.join(folder, "store"),
      find_links: Path.join(folder, "wheels"),
      offline: true,
      env: env(folder)
    ]

    File.mkdir_p!(Path.join(folder, "wheels"))

    Keyword.merge(base, options, fn key, one, other ->
      if key == :env, do: Map.merge(one, other), else: other
    end)
  end

  @doc "Environment variables by which the suite's Python is found, and nothing of the machine's."
  def env(folder) do
    %{
      "PATH" => Path.dirname(python()) <> ":" <> System.get_env("PATH"),
      "VIRTUAL_ENV" => "",
      "UV_CACHE_DIR" => Path.join(folder, "uv"),
      "UV_HTTP_RETRIES" => "0",
      "UV_PYTHON_PREFERENCE" => "system"
    }
  end

  @doc "The spec for such options."
  def spec(folder, options) do
    {:ok, spec} = Spec.new(options(folder, options), "the options of a test")
    %{spec | base: folder}
  end

  @doc "The lines of progress that this process has been sent, as `{:line, line}`."
  def lines do
    receive do
      {:line, line} -> [line | lines()]
    after
      0 -> []
    end
  end
end
