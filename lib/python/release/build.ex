defmodule Python.Release.Build do
  @moduledoc false

  # Makes the bundles of a release, each from an environment (priv/python/bundle/make.py). What is there is whole: it is made
  # beside its place, tried out, and moved there.

  alias Python.Environment.{Failure, Install, Mark, Spec, Uv}
  alias Python.{InstallError, Interpreter, Program, Settings}
  alias Python.Release.Bundle

  @parts ~w(ensurepip idlelib pydoc_data test tkinter)

  # Copying may wait for a slow disk, compiling for other programs.
  @timeout 1_800_000

  @doc "The parts of the standard library that can be kept."
  @spec parts() :: [String.t()]
  def parts, do: @parts

  @doc "Makes the bundles of a release, a list of what is in them. `show` is called with lines of progress."
  @spec make(Path.t(), Settings.t(), keyword, Uv.show()) ::
          {:ok, [map]} | {:error, Exception.t()}
  def make(root, settings, options, show) do
    with {:ok, options} <- options(options),
         {:ok, specs} <- specs(settings),
         :ok <- release(root) do
      Enum.reduce_while(specs, {:ok, []}, fn spec, {:ok, made} ->
        case make_one(root, spec, settings, options, show) do
          {:ok, info} -> {:cont, {:ok, made ++ [info]}}
          {:error, error} -> {:halt, {:error, error}}
        end
      end)
    end
  end

  defp make_one(root, spec, settings, options, show) do
    with {:ok, environment} <- Install.run(spec, show),
         {:ok, interpreter} <- interpreter(spec, environment, settings) do
      make(root, spec, environment, interpreter, options, show)
    end
  end

  defp make(root, spec, environment, interpreter, options, show) do
    folder = Path.join(root, Bundle.folder_name(spec))
    new = folder <> ".new"
    File.rm_rf!(new)

    try do
      with {:ok, copied} <- copy(interpreter, environment, options, new),
           :ok <- install_in_place(copied["in_place"], spec, new, show),
           {:ok, _} <- run_script(Bundle.interpreter(new), "scripts.py", [Path.join(new, "bin")]),
           :ok <- compile(new, options),
           {:ok, failed} <- check(new, interpreter, environment, copied) do
        info = info(folder, new, interpreter, environment, copied)
        write_mark(new, spec, interpreter, environment)
        File.rm_rf!(folder)
        File.rename!(new, folder)
        tell(info, failed, show)
        {:ok, info}
      end
    rescue
      error in File.Error ->
        {:error, Failure.file(error.reason, to_string(error.path))}

      error in File.RenameError ->
        {:error, Failure.file(error.reason, to_string(error.destination))}
    after
      File.rm_rf(new)
    end
  end

  defp options(options) do
    with true <- Keyword.keyword?(options),
         [] <- Keyword.keys(options) -- [:keep, :compile],
         keep = Keyword.get(options, :keep, []),
         true <- is_list(keep) and Enum.all?(keep, &(&1 in @parts)),
         compile = Keyword.get(options, :compile, true),
         true <- is_boolean(compile) do
      {:ok, %{keep: keep, compile: compile}}
    else
      _ ->
        {:error,
         ArgumentError.exception(
           "expected the options of the bundle to be :keep, a list with some of #{Enum.map_join(@parts, ", ", &inspect/1)}, " <>
             "and :compile, a boolean, got: #{inspect(options)}"
         )}
    end
  end

  defp specs(%{python: nil, environments: []}) do
    message =
      "the setting python of :erlang_python does not say which Python is to be in the release"

    remedy =
      ~s(Set it in config/config.exs or config/prod.exs: config :erlang_python, python: [version: "3.13"]. A python_path ) <>
        "is of the machine that it names, and is not copied."

    {:error, InstallError.new(:invalid, message, remedy: remedy)}
  end

  defp specs(%{python: spec, environments: named}),
    do: {:ok, List.wrap(spec) ++ Keyword.values(named)}

  defp release(root) do
    cond do
      match?({:win32, _}, :os.type()) ->
        {:error, InstallError.new(:failed, "Python cannot be put into a release on Windows yet")}

      File.dir?(root) ->
        :ok

      true ->
        message = "there is no folder #{root} of a release"
        {:error, InstallError.new(:invalid, message, remedy: "Make the release first.")}
    end
  end

  # The one that the environment was made with.
  defp interpreter(spec, environment, settings) do
    embed = spec.embed != false and settings.engine != :process

    with {:error, error} <- Interpreter.find(environment.mark.base, embed: embed) do
      {:error,
       InstallError.new(:no_python, String.trim_trailing(error.message, "."), remedy: error.remedy)}
    end
  end

  defp copy(interpreter, environment, options, new) do
    library = if interpreter.libpython, do: ["--library", interpreter.libpython], else: []
    keep = Enum.flat_map(options.keep, &["--keep", &1])
    arguments = [new, "--environment", environment.folder] ++ library ++ keep

    with {:ok, report} <- run_script(interpreter.executable, "make.py", arguments) do
      case report do
        %{"refused" => [text]} ->
          {:error, refused(interpreter, text)}

        %{"site_packages" => [_]} ->
          {:ok, Map.merge(%{"in_place" => [], "machine" => []}, report)}
      end
    end
  end

  # A project is installed in place for development: a change of its files is seen at once.
  defp install_in_place([], _spec, _new, _show), do: :ok

  defp install_in_place(folders, spec, new, show) do
    with {:ok, uv} <- Uv.find(spec, Bundle.interpreter(new), Spec.store(spec), show) do
      arguments =
        [
          "pip",
          "install",
          "--python",
          Bundle.interpreter(new),
          "--no-deps",
          "--break-system-packages"
        ] ++
          ["--link-mode", "copy", "--quiet"] ++ folders

      doing = "installing #{Enum.map_join(folders, ", ", &Path.relative_to_cwd/1)}"
      with {:ok, _} <- Uv.run(uv, spec, doing, arguments, show: show), do: :ok
    end
  end

  # Files that say by a hash of their own that they are right, and not by the time of another file, which changes when the
  # release is copied. A file that cannot be compiled is one for another version of Python.
  defp compile(_new, %{compile: false}), do: :ok

  defp compile(new, _options) do
    folders =
      for name <- ["lib", "local"], folder = Path.join(new, name), File.dir?(folder), do: folder

    mode = ["--invalidation-mode", "unchecked-hash", "-j", "0", "-q", "-q"]
    arguments = ["-E", "-s", "-m", "compileall"] ++ mode ++ folders

    case Program.run(Bundle.interpreter(new), arguments, timeout: @timeout, env: clean()) do
      {:ok, _} -> :ok
      {:error, {:exit, 1, _}} -> :ok
      {:error, failure} -> {:error, Failure.program("compiling the files of Python", failure)}
    end
  end

  # It is at a place where it has never been. Does it run there, with nothing of where it comes from?
  defp check(new, interpreter, environment, copied) do
    foreign = Enum.uniq([interpreter.base_prefix, environment.folder])
    # Libraries of the system are in such a folder too.
    foreign = foreign -- ["/", "/usr"]

    with {:ok, report} <- run_script(Bundle.interpreter(new), "check.py", foreign) do
      [prefix] = report["prefix"]
      [site_packages] = copied["site_packages"]

      cond do
        real(prefix) != real(new) ->
          {:error, refused(interpreter, "its copy takes #{prefix} for its folder")}

        foreign = report["foreign"] ->
          {:error, refused(interpreter, "its copy loads #{hd(foreign)}")}

        real(site_packages) not in Enum.map(report["path"], &real/1) ->
          {:error, refused(interpreter, "its copy looks for packages in other folders")}

        true ->
          {:ok, report["failed"] || []}
      end
    end
  end

  # Of two names of a folder, such as /tmp and /private/tmp on macOS.
  defp real(path) do
    case File.stat(path) do
      {:ok, stat} -> {stat.major_device, stat.inode}
      {:error, _} -> path
    end
  end

  defp refused(interpreter, text) do
    InstallError.new(:failed, "#{interpreter.executable} cannot be put into a release: #{text}",
      remedy:
        ~s(Have uv fetch a standalone build: set env: %{"UV_PYTHON_PREFERENCE" => "only-managed"} in the setting python, ) <>
          "and run `mix python.install`."
    )
  end

  ## Running

  # The package's own files are not to be written to.
  defp run_script(python, name, arguments) do
    script = Application.app_dir(:erlang_python, Path.join("priv/python/bundle", name))
    arguments = ["-E", "-s", "-B", script | arguments]

    case Program.run(python, arguments, timeout: @timeout, env: clean()) do
      {:ok, output} -> {:ok, report(output)}
      {:error, failure} -> {:error, Failure.program("copying Python", failure)}
    end
  end

  # Each line with its tag; what else is printed at a start of Python is of no matter.
  defp report(output) do
    output
    |> String.split("\n")
    |> Enum.map(&String.split(&1, "\t", parts: 3))
    |> Enum.reduce(%{}, fn
      ["bundle", what, value], report -> Map.update(report, what, [value], &(&1 ++ [value]))
      _other, report -> report
    end)
  end

  # What would lead it to other libraries and modules than its own.
  defp clean, do: Map.new(~w(LD_LIBRARY_PATH PYTHONHOME PYTHONPATH VIRTUAL_ENV), &{&1, nil})

  ## What there is

  defp write_mark(new, spec, interpreter, environment) do
    mark = %{
      of: Spec.describe(spec),
      identity: Spec.identity(spec),
      python: interpreter.version_string,
      packages: environment.mark[:packages] || []
    }

    File.write!(Mark.path(new), Mark.text(mark))
  end

  defp info(folder, new, interpreter, environment, copied) do
    %{
      folder: folder,
      python_version: interpreter.version_string,
      packages: length(environment.mark[:packages] || []),
      size: size(new),
      machine: copied["machine"] -- core(copied["machine"])
    }
  end

  # What every system has that runs the VM.
  defp core(names) do
    Enum.filter(
      names,
      &(&1 =~ ~r/\A(ld-|ld64|linux-vdso|lib(c|m|dl|rt|util|pthread|gcc_s|stdc\+\+|tinfo\w*)\.so)/)
    )
  end

  defp size(folder) do
    Enum.sum(
      for path <- Path.wildcard(Path.join(folder, "**"), match_dot: true),
          {:ok, %{type: :regular, size: size}} <- [File.lstat(path)],
          do: size
    )
  end

  defp count(1), do: "1 package"
  defp count(packages), do: "#{packages} packages"

  defp tell(info, failed, show) do
    show.(
      "Python #{info.python_version} with #{count(info.packages)}, " <>
        "#{:erlang.float_to_binary(info.size / 1_048_576, decimals: 1)} MiB, in #{Path.relative_to_cwd(info.folder)}"
    )

    if info.machine != [] do
      show.("the machine that runs the release is to have #{Enum.join(info.machine, ", ")}")
    end

    for text <- failed, do: show.("a module does not work: #{text}")
  end
end
