defmodule Python.Mix.EmbeddedReleaseTest do
  # A small application that depends on this one, as a release. Takes its time: `--exclude release`.
  use Python.TestCase, async: true

  import Python.FakePython, only: [programs_without_python: 1, suite_python: 0]

  alias Python.FreshVM

  @moduletag :release
  @moduletag timeout: 600_000

  @root Path.expand("../..", __DIR__)

  # What it says when it has started.
  @application """
  defmodule Small.Application do
    use Application

    def start(_type, _args) do
      IO.puts("mode: \#{:code.get_mode()}")
      IO.puts("call: \#{inspect(Python.call(:math, :sqrt, [16]))}")
      IO.puts("stream: \#{inspect(stream())}")
      IO.puts("erlang: \#{inspect(:py.eval("1 + 1"))}")
      IO.puts("own file: \#{inspect(Python.call(:shelf, :place, []))}")
      spawn(fn -> System.stop(0) end)
      Supervisor.start_link([], strategy: :one_for_one)
    end

    defp stream do
      Enum.to_list(Python.stream(:builtins, :range, [3]))
    rescue
      error -> error.__struct__
    end
  end
  """

  @project """
  defmodule Small.MixProject do
    use Mix.Project

    def project do
      [app: :small, version: "1.0.0", deps: [{:erlang_python, path: #{inspect(@root)}}]]
    end

    def application, do: [mod: {Small.Application, []}, extra_applications: [:logger]]
  end
  """

  # As the guide has it.
  @runtime Python.DocBlock.file!(Path.join(@root, "guides/deployment.md"), "config/runtime.exs")

  @config """
  import Config
  config :erlang_python, paths: ["priv/python", {:small, "priv/more"}]
  """

  setup_all do
    folder = Path.join(System.tmp_dir!(), unique("small_release"))
    on_exit(fn -> remove(folder) end)

    for {file, text} <- [
          {"mix.exs", @project},
          {"lib/small.ex", @application},
          {"config/runtime.exs", @runtime},
          {"config/config.exs", @config},
          {"priv/python/shelf.py", "def place(): return __file__"},
          {"priv/more/pack/thing.py", ""}
        ] do
      path = Path.join(folder, file)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, text)
    end

    env = [{"MIX_ENV", "prod"}, {"PYTHON", false}, {"MIX_BUILD_PATH", false}]
    mix = System.find_executable("mix")
    assert {output, 0} = FreshVM.execute(mix, ["release"], env, 500_000, folder)
    assert output =~ "small-1.0.0"

    # Not as `release`: that is a tag, and tags win from Elixir 1.20 on.
    {:ok, folder: folder, root: Path.join(folder, "_build/prod/rel/small")}
  end

  defp boot(release, env) do
    env = [{"RELEASE_DISTRIBUTION", "none"}, {"VIRTUAL_ENV", false}, {"PYTHON", false} | env]
    FreshVM.execute(Path.join(release, "bin/small"), ["start"], env, 60_000)
  end

  test "boots in embedded mode, and Python works", %{root: release} do
    [python: python, interpreter: _] = suite_python()
    assert {output, 0} = boot(release, [{"MY_APP_PYTHON", python}])
    assert output =~ "mode: embedded"
    assert output =~ "call: {:ok, 4.0}"
    assert output =~ "stream: [0, 1, 2]"
    assert output =~ "erlang: {:ok, 2}"

    # The release's copy, not the project's.
    assert output =~ ~s(own file: {:ok, "#{release}/lib/small-1.0.0/priv/python/shelf.py"})
  end

  test "boots in embedded mode on a machine without Python", %{root: release, folder: folder} do
    # All programs but Python's.
    bin = Path.join(folder, "bin")
    programs_without_python(bin)

    assert {output, 0} = boot(release, [{"PATH", bin}, {"MY_APP_PYTHON", false}])
    assert output =~ "mode: embedded"
    assert output =~ "call: {:error, %Python.NotStartedError{"
    assert output =~ "reason: :not_found"
    assert output =~ "stream: Python.NotStartedError"
  end

  test "has a doctor, as guides/deployment.md says", %{root: release} do
    guide = File.read!(Path.join(@root, "guides/deployment.md"))
    doctor = "IO.puts(Python.Doctor.format(Python.Doctor.run()))"
    assert guide =~ ~s(bin/my_app eval "#{doctor}")

    [python: python, interpreter: _] = suite_python()
    env = [{"MY_APP_PYTHON", python}, {"VIRTUAL_ENV", false}, {"PYTHON", false}]
    program = Path.join(release, "bin/small")
    assert {output, 0} = FreshVM.execute(program, ["eval", doctor], env, 60_000)
    assert output =~ "the setting python_path"
    assert output =~ "Python computed 1 + 1 = 2"
  end

  test "can be moved to another folder", %{root: release, folder: folder} do
    moved = Path.join(folder, "moved")
    {"", 0} = System.cmd("cp", ["-R", release, moved])
    [python: python, interpreter: _] = suite_python()
    assert {output, 0} = boot(moved, [{"MY_APP_PYTHON", python}])
    assert output =~ "call: {:ok, 4.0}"
    assert output =~ ~s(own file: {:ok, "#{moved}/lib/small-1.0.0/priv/python/shelf.py"})
  end

  test "has what it needs in it", %{root: release} do
    [library] = Path.wildcard(Path.join(release, "lib/erlang_python-*"))

    for file <- [
          "priv/native/liberlang_python_nif.so",
          "priv/native/liberlang_python_loader.so",
          "priv/python/probe.py",
          "priv/python/erlang/__init__.py"
        ] do
      assert {:ok, %{type: :regular}} = File.lstat(Path.join(library, file))
    end
  end
end
