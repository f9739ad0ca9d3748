# What a user of a release goes through: the package as Hex unpacks it, its artifact from an HTTP
# server, a fresh project, no Rust. Needs what no checkout has, and says so.
rustler_precompiled = System.get_env("ERLANG_PYTHON_RUSTLER_PRECOMPILED", "")

missing =
  cond do
    rustler_precompiled == "" ->
      "ERLANG_PYTHON_RUSTLER_PRECOMPILED names no checkout of rustler_precompiled"

    not File.exists?(Path.join(Path.dirname(rustler_precompiled), "castore/mix.exs")) ->
      "there is no checkout of castore beside #{rustler_precompiled}"

    # Newer versions of Mix have archives on the path only for tasks of theirs.
    not match?({_, 0}, System.cmd("mix", ~w(help hex.build), stderr_to_stdout: true)) ->
      "Hex is not installed"

    true ->
      nil
  end

if missing, do: IO.puts(:stderr, "The test of the installation is skipped: #{missing}.")

defmodule Mix.InstallTest do
  # The artifact is built in the folder of the project.
  use Python.TestCase, async: false

  # Newer versions of Mix have them on the path only when asked to (`ensure_application`).
  @compile {:no_warn_undefined, [:inets, :httpd]}

  alias Python.FreshVM
  alias Python.Native.{Artifact, Cargo}

  @moduletag skip: missing || false
  @moduletag timeout: 900_000

  @rustler_precompiled rustler_precompiled
  @version "9.9.9"

  setup_all :prepare

  defp prepare(_context) do
    folder = Path.join(System.tmp_dir!(), "erlang_python_install_#{System.pid()}")
    File.rm_rf!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)

    {:ok, target} = Cargo.host_target()
    artifacts = Path.join(folder, "artifacts")
    arguments = ["--version", @version, "--output", artifacts]
    Mix.Tasks.Python.Release.Artifact.run(arguments ++ glibc(target))

    package = Path.join(folder, "package")
    build_package(Path.join(folder, "source"), package, artifacts, target)

    %{
      folder: folder,
      artifacts: artifacts,
      package: package,
      name: Artifact.name(@version, target),
      url: serve(artifacts)
    }
  end

  # As the release pipeline does, where that is possible.
  defp glibc(target) do
    if String.ends_with?(target, "linux-gnu") and System.find_executable("cargo-zigbuild"),
      do: ["--glibc", "2.17"],
      else: []
  end

  defp build_package(source, package, artifacts, target) do
    {files, 0} = System.cmd("git", ~w(ls-files --cached --others --exclude-standard))

    for file <- String.split(files, "\n", trim: true), File.regular?(file) do
      File.mkdir_p!(Path.dirname(Path.join(source, file)))
      File.cp!(file, Path.join(source, file))
    end

    mix_exs = Path.join(source, "mix.exs")

    released =
      Regex.replace(~r/@version "[^"]+"/, File.read!(mix_exs), ~s(@version "#{@version}"))

    File.write!(mix_exs, released)

    File.cd!(source, fn ->
      {:ok, [_]} = Artifact.write_checksums(artifacts, @version, [target])
    end)

    {output, status} = mix(["hex.build", "--unpack", "--output", package], source)
    assert status == 0, output
  end

  defp serve(root) do
    ensure_application(:inets)
    {:ok, _} = Application.ensure_all_started(:inets)

    {:ok, server} =
      :inets.start(:httpd,
        port: 0,
        bind_address: {127, 0, 0, 1},
        server_name: ~c"artifacts",
        server_root: String.to_charlist(root),
        document_root: String.to_charlist(root)
      )

    on_exit(fn -> :inets.stop(:httpd, server) end)
    "http://127.0.0.1:#{:httpd.info(server)[:port]}"
  end

  defp ensure_application(name) do
    if function_exported?(Mix, :ensure_application!, 1) do
      apply(Mix, :ensure_application!, [name])
    end
  end

  # A project of its own for each test, with a copy of the package and a cache of its own.
  setup %{folder: folder, package: package} = context do
    root = Path.join(folder, "test_#{System.unique_integer([:positive])}")
    File.mkdir_p!(Path.join(root, "app/lib"))
    File.cp_r!(package, Path.join(root, "erlang_python"))
    File.rm_rf!(Path.join(root, "erlang_python/native"))

    File.write!(Path.join(root, "app/mix.exs"), """
    defmodule App.MixProject do
      use Mix.Project

      def project do
        [
          app: :app,
          version: "1.0.0",
          deps: [
            {:erlang_python, path: "../erlang_python"},
            # Not named by a user, to whom Hex gives them.
            {:rustler_precompiled,
             path: #{inspect(@rustler_precompiled)}, override: true, runtime: false},
            {:castore,
             path: #{inspect(Path.expand("../castore", @rustler_precompiled))}, override: true, runtime: false}
          ]
        ]
      end

      def application, do: [extra_applications: [:logger]]
    end
    """)

    Map.put(context, :root, root)
  end

  defp install(context, env \\ []) do
    env = [
      {"ERLANG_PYTHON_ARTIFACTS", Keyword.get(env, :url, context.url)},
      {"RUSTLER_PRECOMPILED_GLOBAL_CACHE_PATH", Path.join(context.root, "cache")}
      | Keyword.get(env, :env, [])
    ]

    mix(["compile"], Path.join(context.root, "app"), env)
  end

  defp mix(arguments, cd, env \\ []) do
    env =
      [
        {"MIX_ENV", "prod"},
        {"HEX_OFFLINE", "1"},
        {"ERLANG_PYTHON_BUILD", false},
        # Its own, whatever that of this project is.
        {"MIX_BUILD_PATH", false},
        {"PATH", path_without_rust()},
        # Where a cargo is found that is not on the PATH.
        {"CARGO_HOME", "/nonexistent"}
      ] ++ env

    FreshVM.execute(System.find_executable("mix"), arguments, env, 300_000, cd)
  end

  defp path_without_rust do
    System.get_env("PATH")
    |> String.split(":")
    |> Enum.reject(&File.exists?(Path.join(&1, "cargo")))
    |> Enum.join(":")
  end

  test "the package holds what is needed, and nothing that was built", %{package: package} do
    files = package |> Path.join("**") |> Path.wildcard(match_dot: true)
    names = Enum.map(files, &Path.relative_to(&1, package))

    for needed <- [
          "lib/python.ex",
          "src/py.erl",
          "guides/getting_started.md",
          "guides/cheatsheet.cheatmd",
          "priv/python/probe.py",
          "native/.cargo/config.toml",
          "native/Cargo.lock",
          "native/erlang_python_nif/src/lib.rs",
          "checksum-erlang_python.exs",
          "LICENSE"
        ] do
      assert needed in names
    end

    refute Enum.any?(names, &(&1 =~ ~r/\.(so|beam|pyc|o)$|__pycache__|target|_build|^test/))
  end

  test "a project without Rust calls Python", context do
    {output, status} = install(context)
    assert status == 0, output

    # The second time there is nothing to do.
    {output, status} = install(context, url: "http://127.0.0.1:1")
    assert status == 0, output
    refute output =~ "erlang_python"

    call = ~S|IO.puts("roots: #{inspect(Python.eval!("[x ** 0.5 for x in xs]", %{xs: [4, 9]}))}")|

    app = Path.join(context.root, "app")
    {output, status} = mix(["run", "-e", call], app, python_path())
    assert status == 0, output
    assert output =~ "roots: [2.0, 3.0]"
  end

  test "nothing of what downloads goes into a release", context do
    {output, status} = install(context)
    assert status == 0, output
    {output, status} = mix(["release", "--quiet"], Path.join(context.root, "app"))
    assert status == 0, output
    release = Path.join(context.root, "app/_build/prod/rel/app")
    libraries = release |> Path.join("lib") |> File.ls!() |> Enum.join(" ")
    assert libraries =~ "erlang_python-#{@version}"
    refute libraries =~ "rustler_precompiled"
    refute libraries =~ "castore"

    call = ~S|IO.inspect(Python.call(:math, :sqrt, [16]))|
    program = Path.join(release, "bin/app")

    {output, status} =
      FreshVM.execute(
        program,
        ["eval", "{:ok, _} = Application.ensure_all_started(:erlang_python); " <> call],
        python_path(),
        60_000
      )

    assert {status, output} == {0, "{:ok, 4.0}\n"}
  end

  test "a file with another checksum is refused, with a remedy, and not kept", context do
    other = Path.join(context.root, "other")
    File.mkdir_p!(other)
    File.write!(Path.join(other, context.name), "not what was released")

    {output, status} = install(context, url: serve(other))
    assert status != 0
    assert output =~ "has refused its native libraries"
    assert output =~ "Compile again to download it anew"
    assert output =~ "ERLANG_PYTHON_BUILD=1"

    {output, status} = install(context)
    assert status == 0, output
  end

  test "a file that is not there is reported, with a remedy", context do
    empty = Path.join(context.root, "empty")
    File.mkdir_p!(empty)

    {output, status} = install(context, url: serve(empty))
    assert status != 0
    assert output =~ "could not download its native libraries, #{context.name}"
    assert output =~ "404"
    assert output =~ "set ERLANG_PYTHON_ARTIFACTS to"
    assert output =~ "ERLANG_PYTHON_BUILD=1"
  end

  test "an unsupported target is reported, with a remedy", context do
    {output, status} = install(context, env: [{"TARGET_ARCH", "s390x"}])
    assert status != 0
    assert output =~ "has no precompiled native libraries for this build"
    assert output =~ "s390x-unknown-linux-gnu"
    assert output =~ "ERLANG_PYTHON_BUILD=1"
  end

  test "a package without checksums is reported, with a remedy", context do
    File.rm!(Path.join(context.root, "erlang_python/checksum-erlang_python.exs"))
    {output, status} = install(context)
    assert status != 0
    assert output =~ "says nothing of #{context.name}"
    assert output =~ "ERLANG_PYTHON_BUILD=1"
  end

  # The Python of the suite, by the way that a user has.
  defp python_path do
    case System.get_env("PYTHON", "") do
      "" ->
        []

      python ->
        [{"PATH", Path.dirname(python) <> ":" <> path_without_rust()}, {"VIRTUAL_ENV", false}]
    end
  end
end
