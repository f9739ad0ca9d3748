defmodule Python.PackedPython do
  @moduledoc false

  # The Python of the suite as one that uv fetches: an archive, and a list of downloads that names it.

  @left_out ~w(__pycache__ test tests idlelib turtledemo tkinter ensurepip site-packages config-* *.a share include)

  @doc """
  Makes both in a folder. The path of the list, for UV_PYTHON_DOWNLOADS_JSON_URL; or why not. `:sha256`: another one than that
  of the archive; `:url`: where it is served.
  """
  @spec make(Path.t(), Python.Interpreter.t(), keyword) :: {:ok, Path.t()} | {:error, String.t()}
  def make(folder, interpreter, options \\ []) do
    prefix = interpreter.base_prefix

    cond do
      :os.type() != {:unix, :linux} -> {:error, "only for Linux"}
      prefix in ["/usr", "/usr/local"] -> {:error, "#{prefix} has more than a Python in it"}
      true -> pack(folder, prefix, interpreter, options)
    end
  end

  defp pack(folder, prefix, interpreter, options) do
    File.mkdir_p!(folder)
    archive = Path.join(folder, "python.tar.gz")
    left_out = for name <- @left_out, do: "--exclude=#{name}"
    rename = "--transform=s,^#{Path.basename(prefix)},python,"
    parts = for part <- ["bin", "lib"], do: Path.join(Path.basename(prefix), part)

    arguments =
      ["-C", Path.dirname(prefix), rename] ++
        left_out ++ ["-I", "gzip -1", "-cf", archive] ++ parts

    {_, 0} = System.cmd("tar", arguments)
    list = Path.join(folder, "downloads.json")
    File.write!(list, list(interpreter, archive, options))
    {:ok, list}
  end

  defp list(interpreter, archive, options) do
    {major, minor, patch} = interpreter.version
    [arch | _] = :erlang.system_info(:system_architecture) |> to_string() |> String.split("-")

    libc =
      if to_string(:erlang.system_info(:system_architecture)) =~ "musl", do: "musl", else: "gnu"

    sha256 = Keyword.get_lazy(options, :sha256, fn -> sha256(archive) end)
    url = Keyword.get(options, :url, "file://" <> archive)
    name = "cpython-#{major}.#{minor}.#{patch}-linux-#{arch}-#{libc}"

    """
    {"#{name}": {"name": "cpython", "arch": {"family": "#{arch}", "variant": null}, "os": "linux", "libc": "#{libc}",
      "major": #{major}, "minor": #{minor}, "patch": #{patch}, "prerelease": "", "url": "#{url}",
      "sha256": "#{sha256}", "variant": null, "build": null}}
    """
  end

  defp sha256(file),
    do: :crypto.hash(:sha256, File.read!(file)) |> Base.encode16(case: :lower)
end
