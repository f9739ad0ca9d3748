defmodule Python.Native.Library do
  @moduledoc false

  # The native libraries as files: what they are called, where cargo leaves them, where they are
  # loaded from. May use the file system; runs nothing.

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

  @doc "What cargo calls the library that it builds for a target."
  def built_name(crate, target) when crate in @programs, do: program(crate, target)

  def built_name(crate, target) do
    case platform(target) do
      :windows -> "#{crate}.dll"
      :darwin -> "lib#{crate}.dylib"
      :unix -> "lib#{crate}.so"
    end
  end

  @doc "What `:erlang.load_nif/2` asks for there, and the engine `:process` too."
  # It adds the extension itself, and on macOS it adds `.so` too.
  def installed_name(crate, target) when crate in @programs, do: program(crate, target)

  def installed_name(crate, target) do
    extension = if platform(target) == :windows, do: "dll", else: "so"
    "lib#{crate}.#{extension}"
  end

  defp program(crate, target),
    do: if(platform(target) == :windows, do: crate <> ".exe", else: crate)

  @doc "Lets programs be run: an archive may have lost that."
  def make_executable do
    for crate <- @programs, do: File.chmod!(installed_path(crate), 0o755)
    :ok
  end

  @doc "Puts a built library into its place. Returns whether it is another than before."
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

  @doc "Tells whether somebody else has put other libraries there."
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
