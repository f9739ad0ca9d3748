defmodule Python.Environment.PlaceTest do
  # Where environments and locks are.
  use Python.TestCase, async: true

  alias Python.Environment.Spec
  alias Python.FreshVM

  @moduletag :tmp_dir

  defp store(env, cd) do
    vm = FreshVM.start(start: false, env: [{"XDG_CACHE_HOME", false} | env])
    FreshVM.call(vm, File, :cd!, [cd])
    FreshVM.call(vm, Spec, :store, [%Spec{base: "."}])
  end

  test "environments are in the user's folder for caches, or where the variable says", %{
    tmp_dir: folder
  } do
    home = Path.join(folder, "home")
    caches = if match?({:unix, :darwin}, :os.type()), do: "Library/Caches", else: ".cache"
    env = [{"HOME", home}, {"ERLANG_PYTHON_CACHE", false}]
    assert store(env, folder) == Path.join([home, caches, "erlang_python"])
    assert store([{"ERLANG_PYTHON_CACHE", folder}], folder) == folder
  end

  @umbrella """
  defmodule Umbrella.MixProject do
    use Mix.Project
    def project, do: [apps_path: "apps", version: "1.0.0", deps: []]
  end
  """

  @member """
  defmodule Member.MixProject do
    use Mix.Project

    def project do
      [
        app: :member,
        version: "1.0.0",
        build_path: "../../_build",
        config_path: "../../config/config.exs",
        lockfile: "../../mix.lock"
      ]
    end
  end
  """

  test "an application of an umbrella has the lock and the files of the umbrella", %{
    tmp_dir: folder
  } do
    member = Path.join(folder, "apps/member")
    File.mkdir_p!(Path.join(member, "lib"))
    File.mkdir_p!(Path.join(folder, "config"))
    File.write!(Path.join(folder, "mix.exs"), @umbrella)
    File.write!(Path.join(folder, "config/config.exs"), "import Config\n")
    File.write!(Path.join(folder, "requirements.txt"), "")
    File.write!(Path.join(member, "mix.exs"), @member)

    code = """
    IO.puts("base: " <> Python.Paths.project())
    {:ok, spec} = Python.Environment.Spec.new([requirements: "requirements.txt"], "a test")
    IO.puts("lock: " <> Python.Environment.Lock.path(spec))
    """

    ebin = Path.dirname(to_string(:code.which(Python)))
    arguments = ["-pa", ebin, "-S", "mix", "run", "--no-start", "-e", code]
    env = [{"MIX_ENV", "prod"}, {"MIX_BUILD_PATH", false}, {"MIX_EXS", false}]

    for cd <- [member, folder] do
      elixir = System.find_executable("elixir")
      assert {output, 0} = FreshVM.execute(elixir, arguments, env, 60_000, cd)
      assert output =~ "base: #{folder}\n"
      assert output =~ "lock: #{folder}/requirements.lock\n"
    end
  end
end
