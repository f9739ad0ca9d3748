defmodule Python.Native.Library do
  @moduledoc false

  # The files of the native libraries: their names, and where they are built and installed. Uses the file system only.

  # The VM loads the first three, a Python process the fourth. The last one is a program.
  @crates [
    "erlang_python_loader",
    "erlang_python_nif",
    "erlang_python_process",
    "erlang_python_worker",
    "erlang_python_guard"
  ]
  @programs ["erlang_python_guard"]

  def crates, do: @crates

  @doc "The folder that the libraries are loaded from, in the project that is being compiled."
  # Mix runs a compiler in the folder of the project that it compiles, also for a dependency.
  def folder, do: Path.expand("priv/native")

  def installed_path(crate), do: Path.join(folder(), installed_name(crate, host()))

  @doc "The file name that cargo gives the library of a crate."
  def built_name(crate, target) when crate in @programs, do: program(crate, target)

  def built_name(crate, target) do
    case platform(target) do
      :windows -> "#{crate}.dll"
      :darwin -> "lib#{crate}.dylib"
      :unix -> "lib#{crate}.so"
    end
  end

  @doc "The file name of an installed library."
  # `:erlang.load_nif/2` adds the extension itself, on macOS `.so` too.
  def installed_name(crate, target) when crate in @programs, do: program(crate, target)

  def installed_name(crate, target) do
    extension = if platform(target) == :windows, do: "dll", else: "so"
    "lib#{crate}.#{extension}"
  end

  defp program(crate, target),
    do: if(platform(target) == :windows, do: crate <> ".exe", else: crate)

  @doc "Makes programs executable, in case the archive has lost that."
  def make_executable do
    for crate <- @programs, do: File.chmod!(installed_path(crate), 0o755)
    :ok
  end

  @doc "Installs a built library. Returns whether it has changed."
  def install(crate, built) do
    installed = installed_path(crate)

    if File.read(installed) == File.read(built) do
      :unchanged
    else
      File.mkdir_p!(folder())
      # A running VM has the old file mapped: writing into it would crash that VM, a rename
      # leaves it the old one.
      temporary = "#{installed}.#{System.pid()}"
      File.cp!(built, temporary)
      File.rename!(temporary, installed)
      :changed
    end
  end

  @doc "Sizes and times of the installed libraries, to notice that another process has installed others."
  def installed_stats do
    for crate <- @crates do
      case File.stat(installed_path(crate), time: :posix) do
        {:ok, stat} -> {crate, stat.size, stat.mtime}
        {:error, _} -> {crate, :missing}
      end
    end
  end

  def host, do: :os.type()

  defp platform({:win32, _}), do: :windows
  defp platform({:unix, :darwin}), do: :darwin
  defp platform({:unix, _}), do: :unix

  defp platform(target) when is_binary(target) do
    cond do
      target =~ "windows" -> :windows
      target =~ "darwin" -> :darwin
      true -> :unix
    end
  end
end
