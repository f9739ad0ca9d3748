defmodule Python.Native.SharedBuildTest do
  # Two projects that depend on the same checkout. In the place of cargo comes a program that tells when it was
  # started and when it ended.
  use ExUnit.Case, async: true

  alias Python.{Checkout, FreshVM}
  alias Python.Native.{Cargo, Library}

  @moduletag :tmp_dir
  @moduletag timeout: 600_000

  setup %{tmp_dir: folder} do
    checkout = Path.join(folder, "checkout")
    File.mkdir_p!(checkout)

    for path <- ~w(mix.exs lib src native/Cargo.toml priv/python/probe.py) do
      File.mkdir_p!(Path.dirname(Path.join(checkout, path)))
      File.cp_r!(Checkout.path(path), Path.join(checkout, path))
    end

    log = Path.join(folder, "log")
    cargo = Path.join(folder, "bin/cargo")
    File.mkdir_p!(Path.dirname(cargo))

    File.write!(cargo, """
    #!/bin/sh
    while [ "$1" != --target-dir ]; do shift; done
    echo start >> '#{log}'
    sleep 1
    mkdir -p "$2/release"
    for name in #{Enum.map_join(Library.crates(), " ", &Library.built_name(&1, Library.host()))}; do
      cat Cargo.toml > "$2/release/$name"
    done
    echo end >> '#{log}'
    """)

    File.chmod!(cargo, 0o755)

    for name <- ~w(one two) do
      project = Path.join(folder, name)
      File.mkdir_p!(project)

      File.write!(Path.join(project, "mix.exs"), """
      defmodule #{String.capitalize(name)}.MixProject do
        use Mix.Project

        def project do
          [app: :#{name}, version: "1.0.0", deps: [{:erlang_python, path: "../checkout"}]]
        end
      end
      """)
    end

    {:ok, checkout: checkout, log: log}
  end

  defp compile(folder, project, env \\ []) do
    path = Path.join(folder, "bin") <> ":" <> System.get_env("PATH")
    env = [{"PATH", path}, {"MIX_BUILD_PATH", false}, {"MIX_ENV", "prod"} | env]
    mix = System.find_executable("mix")
    {output, status} = FreshVM.execute(mix, ["compile"], env, 300_000, Path.join(folder, project))
    assert {status, output} == {0, output}
    output
  end

  defp builds(log), do: log |> File.read!() |> String.split("\n", trim: true)

  test "one builds, the other does not", %{tmp_dir: folder, checkout: checkout, log: log} do
    # At the same time, and nothing was built before.
    tasks = for project <- ~w(one two), do: Task.async(fn -> compile(folder, project) end)
    outputs = Task.await_many(tasks, 300_000)
    assert builds(log) == ~w(start end)
    compiling = "Compiling #{length(Library.crates())} native libraries"
    assert Enum.count(outputs, &(&1 =~ compiling)) == 1

    for crate <- Library.crates() do
      library = Path.join("priv/native", Library.installed_name(crate, Library.host()))
      assert File.regular?(Path.join(checkout, library))
      priv = Path.join(folder, "two/_build/prod/lib/erlang_python")
      assert File.regular?(Path.join(priv, library))
    end

    # Nothing has changed.
    for project <- ~w(one two one), do: compile(folder, project)
    assert builds(log) == ~w(start end)

    # A source has changed: whoever comes first builds.
    File.write!(Path.join(checkout, "native/Cargo.toml"), "\n# changed\n", [:append])
    for project <- ~w(two one), do: compile(folder, project)
    assert builds(log) == ~w(start end start end)

    # So has the way to build.
    compile(folder, "one", [{"RUSTFLAGS", "-g"}])
    assert builds(log) == ~w(start end start end start end)

    # Another one has put its libraries there.
    File.write!(Path.join(checkout, "priv/native/liberlang_python_nif.so"), "other")
    compile(folder, "one", [{"RUSTFLAGS", "-g"}])
    assert length(builds(log)) == 8
    assert File.read!(Path.join(checkout, "priv/native/liberlang_python_nif.so")) =~ "# changed"
  end

  test "the libraries are built in the checkout, whatever project it is compiled for" do
    assert Cargo.target_dir() == Checkout.path("_build/native")
  end
end
