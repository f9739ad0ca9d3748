defmodule Python.Mix.BundleTest do
  # A release with Python and a package in it, at another place, on a machine without Python and without a network.
  use Python.TestCase, async: true

  import Python.FakePython, only: [programs_without_python: 1, suite_python: 0]

  alias Python.{FreshVM, PackedPython, Wheels}

  @moduletag :release
  @moduletag timeout: 600_000
  @moduletag skip: Wheels.skip(__ENV__)

  @root Path.expand("../..", __DIR__)

  # What it says when it has started.
  @application """
  defmodule Small.Application do
    use Application

    def start(_type, _args) do
      say("call", Python.call(:teller, :tell, ["it"]))
      say("own file", Python.call(:shelf, :place, []))

      for name <- ~w(executable prefix base_prefix) do
        say(name, Python.eval("__import__('sys').\#{name}"))
      end

      say("path", Python.eval("__import__('teller').__file__"))
      say("child", Python.call(:shelf, :child, []))
      say("spawned", Python.call(:shelf, :spawned, [[1, 2, 3]]))
      say("script", Python.call(:shelf, :script, []))
      say("cached", Python.eval("__import__('teller').__cached__ is not None and __import__('os').path.exists(__import__('teller').__cached__)"))
      {:ok, _} = Python.Pool.start_link(name: Apart, engine: :process, size: 1)
      say("process", Python.eval("__import__('sys').prefix", %{}, pool: Apart))
      say("version", Python.eval("__import__('teller').version"))
      {:ok, _} = Python.Pool.start_link(name: Old, engine: :process, size: 1, python: :old)
      say("old version", Python.eval("__import__('teller').version", %{}, pool: Old))
      say("old process", Python.eval("__import__('sys').prefix", %{}, pool: Old))
      say("maps", for(line <- maps(), line =~ "libpython", uniq: true, do: line))
      spawn(fn -> System.stop(0) end)
      Supervisor.start_link([], strategy: :one_for_one)
    end

    defp say(what, value), do: IO.puts("\#{what}: \#{inspect(value, limit: :infinity)}")

    defp maps do
      case File.read("/proc/self/maps") do
        {:ok, text} -> for line <- String.split(text, "\\n"), [_, path] <- [Regex.run(~r/ (\\/.*)$/, line)], do: path
        _ -> []
      end
    end
  end
  """

  @python """
  import multiprocessing
  import os
  import subprocess
  import sys


  def place():
      return __file__


  def child():
      code = "import sys, teller; print(sys.prefix, teller.tell('child'))"
      return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()


  def script():
      return subprocess.run([os.path.join(sys.prefix, "bin", "tell")], capture_output=True, text=True).stdout.strip()


  def spawned(numbers):
      with multiprocessing.get_context("spawn").Pool(2) as pool:
          return pool.map(double, numbers)


  def double(number):
      return 2 * number
  """

  @project """
  defmodule Small.MixProject do
    use Mix.Project

    def project do
      [
        app: :small,
        version: "1.0.0",
        deps: [{:erlang_python, path: #{inspect(@root)}}],
        releases: [small: [steps: [:assemble, &Python.Release.bundle/1]]]
      ]
    end

    def application, do: [mod: {Small.Application, []}, extra_applications: [:logger]]
  end
  """

  setup_all do
    folder = Path.join(System.tmp_dir!(), unique("small_bundle"))
    on_exit(fn -> remove(folder) end)
    [python: python, interpreter: interpreter] = suite_python()
    {:ok, uv} = Wheels.uv()
    for version <- ["1.0", "2.0"], do: wheel(Path.join(folder, "wheels"), version)

    # One that uv fetches, where that can be made.
    variables =
      case PackedPython.make(Path.join(folder, "packed"), interpreter) do
        {:ok, list} ->
          %{"UV_PYTHON_DOWNLOADS_JSON_URL" => list, "UV_PYTHON_PREFERENCE" => "only-managed"}

        {:error, _reason} ->
          %{}
      end

    config = """
    import Config

    common = [
      version: "#{interpreter.version_string}",
      find_links: "wheels",
      env: #{inspect(variables)},
      uv: #{inspect(uv)},
      cache: "cache"
    ]

    config :erlang_python,
      paths: ["priv/python"],
      python: [packages: ["teller"]] ++ common,
      environments: [old: [packages: ["teller<2"]] ++ common]
    """

    for {file, text} <- [
          {"mix.exs", @project},
          {"lib/small.ex", @application},
          {"config/config.exs", config},
          {"priv/python/shelf.py", @python}
        ] do
      path = Path.join(folder, file)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, text)
    end

    path = Path.dirname(python) <> ":" <> System.get_env("PATH")
    env = [{"MIX_ENV", "prod"}, {"PYTHON", false}, {"MIX_BUILD_PATH", false}, {"PATH", path}]
    env = [{"VIRTUAL_ENV", false} | env]
    mix = System.find_executable("mix")
    assert {output, 0} = FreshVM.execute(mix, ["release"], env, 500_000, folder)

    # Moved, and what it was made of is gone.
    release = Path.join(folder, "moved/here")
    File.mkdir_p!(Path.dirname(release))
    File.rename!(Path.join(folder, "_build/prod/rel/small"), release)
    File.rename!(Path.join(folder, "cache"), Path.join(folder, "cache.gone"))

    {:ok, folder: folder, root: release, output: output}
  end

  # A package with a script.
  defp wheel(folder, version) do
    module = """
    version = "#{version}"


    def tell(what):
        return "told:" + what


    def main():
        print(tell("script"))
    """

    Wheels.write(folder, "teller", version,
      files: %{
        "teller/__init__.py" => module,
        "teller-#{version}.dist-info/entry_points.txt" =>
          "[console_scripts]\ntell = teller:main\n"
      }
    )
  end

  # All programs but Python's, and no network where that can be had.
  defp boot(release, folder) do
    bin = Path.join(folder, "bin")
    programs_without_python(bin)

    env = [{"RELEASE_DISTRIBUTION", "none"}, {"VIRTUAL_ENV", false}, {"PYTHON", false}]
    env = [{"PATH", bin}, {"HOME", folder} | env]
    [program | arguments] = without_network() ++ [Path.join(release, "bin/small"), "start"]
    FreshVM.execute(program, arguments, env, 60_000)
  end

  defp without_network do
    with unshare when is_binary(unshare) <- System.find_executable("unshare"),
         {_, 0} <- System.cmd(unshare, ["-n", "true"], stderr_to_stdout: true) do
      [unshare, "-n"]
    else
      _ -> []
    end
  end

  test "works at another place, without Python and without a network", context do
    %{root: release, folder: folder} = context
    assert {output, 0} = boot(release, folder)
    python = Path.join(release, "python")
    shelf = Path.join(release, "lib/small-1.0.0/priv/python/shelf.py")

    for line <- [
          ~s(call: {:ok, "told:it"}),
          ~s(own file: {:ok, "#{shelf}"}),
          ~s(executable: {:ok, "#{python}/bin/python3"}),
          ~s(prefix: {:ok, "#{python}"}),
          ~s(base_prefix: {:ok, "#{python}"}),
          ~s(child: {:ok, ["#{python}", "told:child"]}),
          ~s(spawned: {:ok, [2, 4, 6]}),
          ~s(script: {:ok, "told:script"}),
          ~s(cached: {:ok, true}),
          ~s(process: {:ok, "#{python}"}),
          ~s(\nversion: {:ok, "2.0"}),
          ~s(old version: {:ok, "1.0"}),
          ~s(old process: {:ok, "#{python}-old"})
        ] do
      assert output =~ line
    end

    for [_, path] <- Regex.scan(~r/"(\/[^"]*libpython[^"]*)"/, output),
        do: assert(String.starts_with?(path, python))
  end

  test "has a doctor that knows it", %{root: release} do
    doctor = "IO.puts(Python.Doctor.format(Python.Doctor.run()))"
    env = [{"RELEASE_DISTRIBUTION", "none"}, {"VIRTUAL_ENV", false}, {"PYTHON", false}]
    program = Path.join(release, "bin/small")
    assert {output, 0} = FreshVM.execute(program, ["eval", doctor], env, 60_000)
    assert output =~ "[ok]      Python in the release, with the packages teller"
    assert output =~ ~r/package +teller 2\.0/
    assert output =~ ~r/found through +the release/
    assert output =~ "Python computed 1 + 1 = 2"
  end

  test "with other packages than the settings ask for says so", %{root: release} do
    code =
      "Application.load(:erlang_python); Application.put_env(:erlang_python, :python, packages: [~s(cashier)]); " <>
        "{:ok, _} = Application.ensure_all_started(:erlang_python); " <>
        "{:error, error} = Python.eval(~s(1)); IO.puts(Exception.message(error))"

    env = [{"RELEASE_DISTRIBUTION", "none"}, {"VIRTUAL_ENV", false}, {"PYTHON", false}]
    program = Path.join(release, "bin/small")
    assert {output, 0} = FreshVM.execute(program, ["eval", code], env, 60_000)
    assert output =~ "cashier"
    assert output =~ "the release has one with the packages teller"
  end

  test "a relative python_path is in the release", %{root: release, folder: folder} do
    code =
      "Application.load(:erlang_python); Application.delete_env(:erlang_python, :python); " <>
        "Application.put_env(:erlang_python, :python_path, ~s(python-old/bin/python3)); " <>
        "{:ok, _} = Application.ensure_all_started(:erlang_python); " <>
        "IO.inspect(Python.eval(~s[(__import__('sys').prefix, __import__('teller').version)]))"

    env = [{"RELEASE_DISTRIBUTION", "none"}, {"VIRTUAL_ENV", false}, {"PYTHON", false}]
    program = Path.join(release, "bin/small")
    assert {output, 0} = FreshVM.execute(program, ["eval", code], env, 60_000, folder)
    assert output =~ ~s({:ok, {"#{release}/python-old", "1.0"}})
  end

  test "tells what is in it", %{output: output} do
    assert output =~
             ~r/\* python: Python 3\.\d+\.\d+ with 1 package, \d+\.\d MiB, in .*rel\/small\/python/
  end

  test "has no path of the machine that it was built on where that matters", context do
    %{root: release} = context
    python = Path.join(release, "python")

    for part <- ~w(test idlelib tkinter ensurepip),
        do: assert(Path.wildcard(Path.join(python, "lib/python3*/#{part}")) == [])

    assert Path.wildcard(Path.join(python, "**/*.a")) == []
    assert {:ok, text} = File.read(Path.join(python, "bin/tell"))
    assert text =~ "realpath"
  end
end
