defmodule Python.Environment.BaseTest do
  # Which Python an environment is made with, of those that are made up here.
  use Python.TestCase, async: true

  import Python.FakePython, only: [report: 1, script: 3, suite_python: 0, wrapper: 3]

  alias Python.Environment.{Base, Spec}
  alias Python.{InstallError, PackedPython, Wheels}

  @moduletag :tmp_dir

  setup_all do
    {:ok, suite_python()}
  end

  # A Python that says it is of this version.
  defp fake(dir, name, python, version, changes \\ []) do
    [major, minor, micro] = version |> String.split(".") |> Enum.map(&String.to_integer/1)

    text =
      report(python)
      |> String.replace(~r/"version": \[[^]]*\]/, ~s("version": [#{major}, #{minor}, #{micro}]))
      |> String.replace(~r/"version_string": "[^"]*"/, ~s("version_string": "#{version}"))

    text = Enum.reduce(changes, text, fn {from, to}, text -> String.replace(text, from, to) end)
    folder = Path.join(dir, Path.dirname(name))
    File.mkdir_p!(folder)
    File.write!(Path.join(dir, name <> ".report"), text)
    script(dir, name, "cat '#{Path.join(dir, name)}.report'")
  end

  @static [{~r/"libpython": "[^"]*"/, ~s("libpython": null)}]

  defp find(dir, options, more \\ []) do
    {:ok, spec} = Spec.new([cache: Path.join(dir, "cache")] ++ options, "it")
    env = Map.merge(%{"PATH" => Path.join(dir, "bin"), "HOME" => dir}, more[:env] || %{})
    Base.search(spec, spec.cache, Keyword.merge([env: env], Keyword.delete(more, :env)))
  end

  defp version(found) do
    {:ok, interpreter} = found
    interpreter.version_string
  end

  test "without a version it is the one on PATH", %{tmp_dir: dir, python: python} do
    path = wrapper(Path.join(dir, "bin"), "python3", python)
    assert {:ok, interpreter} = find(dir, packages: [])
    assert interpreter.executable == python
    assert path
  end

  test "a version is looked for by its name, then among the others", context do
    %{tmp_dir: dir, python: python} = context
    fake(dir, "bin/python3", python, "3.11.4")
    fake(dir, "bin/python3.12", python, "3.12.5")
    fake(dir, ".pyenv/versions/3.13.1/bin/python3", python, "3.13.1")
    fake(dir, ".pyenv/versions/3.13.3/bin/python3", python, "3.13.3")
    fake(dir, ".pyenv/versions/3.12.9/bin/python3", python, "3.12.9")

    fake(
      dir,
      ".local/share/uv/python/cpython-3.10.2-linux-x86_64-gnu/bin/python3",
      python,
      "3.10.2"
    )

    fake(dir, "cache/pythons/cpython-3.9.1-linux-x86_64-gnu/bin/python3", python, "3.9.1")

    for {version, expected} <- [
          {"3.11", "3.11.4"},
          {"3.12", "3.12.5"},
          {"3.12.9", "3.12.9"},
          {"3.13", "3.13.3"},
          {"3.13.1", "3.13.1"},
          {"3.10", "3.10.2"},
          {"3.9", "3.9.1"},
          {">=3.9", "3.11.4"},
          {">=3.12", "3.12.5"},
          {"<3.10", "3.9.1"}
        ] do
      assert {version, version(find(dir, version: version))} == {version, expected}
    end
  end

  test "what a project requires is kept", %{tmp_dir: dir, python: python} do
    fake(dir, "bin/python3", python, "3.11.4")
    fake(dir, "bin/python3.12", python, "3.12.5")
    project = Path.join(dir, "project")
    File.mkdir_p!(project)
    toml = &File.write!(Path.join(project, "pyproject.toml"), &1)

    toml.("[project]\nname = 'x'\nrequires-python = \">=3.12\"\n")
    assert version(find(dir, project: project)) == "3.12.5"
    assert version(find(dir, project: project, version: "3.11")) == "3.11.4"

    toml.("[project]\nname = 'x'\n")
    assert version(find(dir, project: project)) == "3.11.4"

    toml.("[project]\nname = 'x'\nrequires-python = 'whatever'\n")
    assert {:error, %InstallError{reason: :invalid} = error} = find(dir, project: project)
    assert Exception.message(error) =~ "whatever"
  end

  test "one that cannot be embedded is passed over, and taken for processes", context do
    %{tmp_dir: dir, python: python} = context
    fake(dir, "bin/python3.13", python, "3.13.1", @static)
    assert version(find(dir, [version: "3.13"], embed: false)) == "3.13.1"

    assert {:error, %InstallError{reason: :no_python} = error} = find(dir, version: "3.13")
    assert Exception.message(error) =~ "3.13.1, which has no shared library"
    assert Exception.message(error) =~ "engine: :process"

    fake(dir, ".pyenv/versions/3.13.0/bin/python3", python, "3.13.0")
    assert version(find(dir, version: "3.13")) == "3.13.0"
  end

  test "what does not work is passed over, and named if there is nothing else", context do
    %{tmp_dir: dir, python: python} = context
    script(Path.join(dir, "bin"), "python3.12", "exit 3")
    assert {:error, %InstallError{reason: :no_python} = error} = find(dir, version: "3.12")
    assert Exception.message(error) =~ "python3.12"
    assert Exception.message(error) =~ "status 3"
    refute Exception.message(error) =~ "engine: :process"

    fake(dir, "bin/python3", python, "3.12.5")
    assert version(find(dir, version: "3.12")) == "3.12.5"
  end

  test "VIRTUAL_ENV comes first, if it fits", %{tmp_dir: dir, python: python} do
    fake(dir, "bin/python3", python, "3.12.5")
    fake(dir, "venv/bin/python", python, "3.11.4")
    env = %{"VIRTUAL_ENV" => Path.join(dir, "venv")}
    assert version(find(dir, [packages: []], env: env)) == "3.11.4"
    assert version(find(dir, [version: "3.12"], env: env)) == "3.12.5"
  end

  test "the variables of uv are kept", %{tmp_dir: dir, python: python} do
    fake(dir, "bin/python3", python, "3.12.5")
    uv = Path.join(dir, "uv")
    fake(dir, "uv/cpython-3.12.7-linux-x86_64-gnu/bin/python3", python, "3.12.7")
    env = fn more -> [env: Map.merge(%{"UV_PYTHON_INSTALL_DIR" => uv}, more)] end

    for {variables, expected} <- [
          {%{}, "3.12.5"},
          {%{"UV_PYTHON_PREFERENCE" => "managed"}, "3.12.7"},
          {%{"UV_PYTHON_PREFERENCE" => "only-managed"}, "3.12.7"},
          {%{"UV_MANAGED_PYTHON" => "1"}, "3.12.7"},
          {%{"UV_PYTHON_PREFERENCE" => "only-system"}, "3.12.5"}
        ] do
      assert {variables, version(find(dir, [version: "3.12"], env.(variables)))} ==
               {variables, expected}
    end
  end

  test "it is known where it was found", %{tmp_dir: dir, python: python} do
    fake(dir, "venv/bin/python", python, "3.9.1")
    fake(dir, "bin/python3", python, "3.11.4")
    fake(dir, ".pyenv/versions/3.12.9/bin/python3", python, "3.12.9")
    fake(dir, "uv/cpython-3.13.7-linux-x86_64-gnu/bin/python3", python, "3.13.7")
    fake(dir, "cache/pythons/cpython-3.10.7-linux-x86_64-gnu/bin/python3", python, "3.10.7")
    env = %{"UV_PYTHON_INSTALL_DIR" => Path.join(dir, "uv")}
    env = Map.put(env, "VIRTUAL_ENV", Path.join(dir, "venv"))

    for {version, source} <- [
          {"3.9", :virtual_env},
          {"3.11", :path},
          {"3.12", :pyenv},
          {"3.13", :uv},
          {"3.10", :fetched}
        ] do
      assert {:ok, interpreter} = find(dir, [version: version], env: env)
      assert {version, interpreter.source} == {version, source}
    end
  end

  describe "where there is none" do
    test "one is fetched into the folder of the environments", %{tmp_dir: dir, python: python} do
      fake(dir, "bin/python3", python, "3.11.4")

      fetch = fn text, folder, _python ->
        send(self(), {:fetched, text})

        name =
          Path.join(Path.relative_to(folder, dir), "cpython-3.13.2-linux-x86_64-gnu/bin/python3")

        fake(dir, name, python, "3.13.2")
        :ok
      end

      assert version(find(dir, [version: "~=3.13.0"], fetch: fetch)) == "3.13.2"
      assert_received {:fetched, "~=3.13.0"}

      # The next time it is there.
      assert version(find(dir, [version: "3.13"], fetch: fetch)) == "3.13.2"
      refute_received {:fetched, _}
    end

    test "what was fetched has to fit too", %{tmp_dir: dir} do
      fetch = fn _text, _folder, _python -> :ok end
      assert {:error, error} = find(dir, [version: "3.13"], fetch: fetch)
      assert error.reason == :no_python
      assert error.message =~ "uv has fetched none that does"
    end

    test "the reason why none could be fetched is told", %{tmp_dir: dir, python: python} do
      fake(dir, "bin/python3", python, "3.13.1", @static)
      failed = InstallError.new(:network, "the mirror did not answer", remedy: "Try again.")
      fetch = fn _text, _folder, _python -> {:error, failed} end

      assert {:error, error} = find(dir, [version: "3.13"], fetch: fetch)
      text = Exception.message(error)
      assert error.reason == :network

      for part <- ["3.13", "uv could not fetch one", "the mirror did not answer", "Try again."],
          do: assert(text =~ part)

      assert text =~ "engine: :process"
    end

    test "none is fetched where that is forbidden", %{tmp_dir: dir} do
      fetch = fn _text, _folder, _python -> flunk("it was fetched") end

      for {options, env} <- [
            {[offline: true], %{}},
            {[], %{"UV_OFFLINE" => "1"}},
            {[], %{"UV_PYTHON_DOWNLOADS" => "never"}},
            {[], %{"UV_PYTHON_PREFERENCE" => "only-system"}}
          ] do
        found = find(dir, [version: "3.13"] ++ options, fetch: fetch, env: env)
        assert {:error, %InstallError{reason: :no_python} = error} = found
        assert error.message =~ "none was fetched"
      end
    end
  end

  describe "uv" do
    @describetag skip: Wheels.skip(__ENV__)

    setup %{interpreter: interpreter, tmp_dir: dir} do
      # It is large.
      on_exit(fn -> File.rm_rf!(dir) end)

      case PackedPython.make(Path.join(dir, "packed"), interpreter) do
        {:ok, list} -> {:ok, list: list}
        {:error, _reason} -> {:ok, list: nil}
      end
    end

    defp fetched(dir, list, interpreter) do
      {:ok, uv} = Wheels.uv()
      only = %{"UV_PYTHON_PREFERENCE" => "only-managed", "UV_HTTP_RETRIES" => "0"}

      {:ok, spec} =
        Spec.new(
          [
            version: interpreter.version_string,
            uv: uv,
            cache: Path.join(dir, "cache"),
            env: Map.put(only, "UV_PYTHON_DOWNLOADS_JSON_URL", list)
          ],
          "it"
        )

      Base.find(spec, spec.cache, fn line -> send(self(), {:progress, line}) end)
    end

    # A list with something else in it.
    defp changed(list, pattern, new) do
      path = Path.join(Path.dirname(list), "changed.json")
      File.write!(path, String.replace(File.read!(list), pattern, new))
      path
    end

    defp builds(dir), do: Path.wildcard(Path.join(dir, "cache/pythons/cpython-*"))

    test "fetches a build, checks its hash, and leaves nothing behind where that fails",
         context do
      %{tmp_dir: dir, list: list, interpreter: interpreter} = context

      if list do
        wrong = changed(list, ~r/"sha256": "[^"]*"/, ~s("sha256": "#{String.duplicate("0", 64)}"))
        assert {:error, error} = fetched(dir, wrong, interpreter)
        assert error.reason == :wrong_hash
        assert Exception.message(error) =~ "uv could not fetch one"
        assert builds(dir) == []

        nowhere = changed(list, "file://", "http://127.0.0.1:1")

        assert {:error, %InstallError{reason: :network} = error} =
                 fetched(dir, nowhere, interpreter)

        assert Exception.message(error) =~ interpreter.version_string
        assert builds(dir) == []

        assert {:ok, found} = fetched(dir, list, interpreter)
        assert found.version == interpreter.version
        assert String.starts_with?(found.base_prefix, Path.join(dir, "cache/pythons"))
        assert_received {:progress, "Fetching Python" <> _}

        # The next time nothing is fetched.
        assert {:ok, ^found} = fetched(dir, nowhere, interpreter)
      end
    end
  end
end
