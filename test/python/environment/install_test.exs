defmodule Python.Environment.InstallTest do
  # Environments of packages that are made here, by a real uv, without a network.
  use Python.TestCase, async: true

  alias Python.{FreshVM, InstallError, Interpreter, Wheels}
  alias Python.Environment
  alias Python.Environment.{Check, Install, Key, Lock, Prune, Spec, Store, Uv}

  @moduletag skip: Wheels.skip(__ENV__)
  @moduletag :tmp_dir
  @moduletag timeout: 120_000

  setup %{tmp_dir: folder} do
    Wheels.write(Path.join(folder, "wheels"), "colour", "1.0", requires: ["shade>=1"])
    Wheels.write(Path.join(folder, "wheels"), "shade", "1.5")
    :ok
  end

  defp install(spec, force \\ false) do
    test = self()
    result = Install.run(spec, &send(test, {:line, &1}), force)
    {result, Wheels.lines()}
  end

  defp installed!(spec) do
    assert {{:ok, environment}, _lines} = install(spec)
    environment
  end

  # What is in the folder of the environments besides whole ones.
  defp half_made(%Spec{cache: store}) do
    broken =
      for folder <- Store.list(Path.join(store, "environments")),
          not File.exists?(Path.join(folder, "erlang_python.term")),
          do: folder

    broken ++ Store.list(Path.join(store, "temporary"))
  end

  # The version that the interpreter of an environment imports.
  defp version(environment, module) do
    {text, 0} =
      System.cmd(environment.interpreter, [
        "-c",
        "import #{module}; print(#{module}.version, end='')"
      ])

    text
  end

  defp lock!(spec, upgrade \\ false) do
    {:ok, uv} = Uv.find(spec, nil, spec.cache, fn _line -> :ok end)
    {:ok, interpreter} = Environment.Base.find(spec, spec.cache, fn _line -> :ok end)

    Store.temporary(
      spec.cache,
      &Lock.write(uv, spec, interpreter, upgrade, &1, fn _line -> :ok end)
    )
  end

  # An uv that is a script of the shell.
  defp uv(folder, script) do
    uv = Path.join(folder, "uv-#{System.unique_integer([:positive])}")
    File.write!(uv, "#!/bin/sh\n#{script}\n")
    File.chmod!(uv, 0o755)
    uv
  end

  # One that runs a command, and waits, before it installs.
  defp slow_uv(folder, command) do
    {:ok, real} = Wheels.uv()
    uv(folder, ~s(case "$*" in *pip*\) #{command}; sleep 60;; esac\nexec #{real} "$@"))
  end

  describe "packages" do
    test "are installed with what they need, and progress is shown", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["colour"])
      assert {:error, error} = Environment.locate(spec)
      assert error.reason == :not_installed
      assert Exception.message(error) =~ "mix python.install"

      assert {{:ok, environment}, lines} = install(spec)
      assert environment.made == :made
      assert environment.mark.packages == [{"colour", "1.0"}, {"shade", "1.5"}]
      assert version(environment, "shade") == "1.5"
      assert " + colour==1.0" in lines
      assert Environment.locate(spec) == {:ok, environment.interpreter}
      assert half_made(spec) == []
    end

    test "that are there already are found, without uv", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["shade"])
      environment = installed!(spec)
      assert {{:ok, again}, []} = install(%{spec | uv: "/no/such/uv"})
      assert {again.made, again.folder} == {:found, environment.folder}
    end

    test "are found at once by the second start, until something changes", %{tmp_dir: folder} do
      file = Path.join(folder, "requirements.txt")
      File.write!(file, "-r more.txt\n")
      File.write!(Path.join(folder, "more.txt"), "shade\n")

      for name <- ["requirements.txt", "more.txt"],
          do: File.touch!(Path.join(folder, name), 1_700_000_000)

      spec = Wheels.spec(folder, requirements: file)
      {:ok, found} = {:ok, installed!(spec).interpreter}

      assert Environment.locate(spec) == {:ok, found}
      assert {:ok, _folder} = Environment.Recall.fetch(spec.cache, spec)
      assert Environment.locate(spec) == {:ok, found}
      # With another spec, there is nothing to recall.
      assert Environment.Recall.fetch(spec.cache, %{spec | version: "3.99"}) == :none

      # A file that is included, a lock that comes, an environment that goes.
      File.write!(Path.join(folder, "more.txt"), "colour\n")
      assert {:error, _not_installed} = Environment.locate(spec)
      File.write!(Path.join(folder, "more.txt"), "shade\n")
      assert Environment.locate(spec) == {:ok, found}
      # What was written now may change once more in the same second.
      File.touch!(Path.join(folder, "more.txt"), 1_700_000_000)
      assert Environment.locate(spec) == {:ok, found}
      assert {:ok, _folder} = Environment.Recall.fetch(spec.cache, spec)
      assert {:ok, lock, :changed} = lock!(spec)
      assert {:error, _not_installed} = Environment.locate(spec)
      File.rm!(lock)
      assert Environment.locate(spec) == {:ok, found}
      File.rm_rf!(Path.join(spec.cache, "environments"))
      assert {:error, _not_installed} = Environment.locate(spec)
    end

    test "of two requests have two environments", %{tmp_dir: folder} do
      one = installed!(Wheels.spec(folder, packages: ["shade"]))
      other = installed!(Wheels.spec(folder, packages: ["shade", "colour"]))
      assert one.folder != other.folder

      assert Environment.locate(Wheels.spec(folder, packages: ["shade"])) ==
               {:ok, one.interpreter}
    end

    test "may be files of the project, by a relative path", %{tmp_dir: folder} do
      Wheels.write(Path.join(folder, "vendor"), "own", "2.0")
      spec = Wheels.spec(folder, packages: ["./vendor/own-2.0-py3-none-any.whl"])
      first = installed!(spec)
      assert version(first, "own") == "2.0"

      # Another file of the same name is another package.
      Wheels.write(Path.join(folder, "vendor"), "own", "2.0",
        files: %{"own.py" => "version = 'other'"}
      )

      assert {:error, _not_installed} = Environment.locate(spec)
      assert version(installed!(spec), "own") == "other"
    end

    test "that do not exist are an error with the text of uv", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["no-such-package"])
      assert {{:error, %InstallError{} = error}, _lines} = install(spec)
      assert error.output =~ "no-such-package"
      assert error.remedy =~ ":find_links"
      refute error.output =~ "temporary"
      assert half_made(spec) == []

      # What was there stays, and the next one works.
      assert installed!(Wheels.spec(folder, packages: ["shade"]))
    end

    test "run in a VM that is configured so", %{tmp_dir: folder} do
      options = Wheels.options(folder, packages: ["colour"])
      spec = Wheels.spec(folder, packages: ["colour"])
      environment = installed!(spec)

      vm = FreshVM.start(settings: [python_path: nil, python: options])
      assert FreshVM.call(vm, Python, :eval!, ["__import__('shade').version"]) == "1.5"
      assert FreshVM.call(vm, Python, :eval!, ["__import__('sys').prefix"]) == environment.folder
      assert {:error, error} = FreshVM.call(vm, Python, :eval, ["__import__('absent')"])
      assert Exception.message(error) =~ ~s(Python.install(["absent"]\))
      assert Exception.message(error) =~ "mix python.install"
      # The VM is told apart from those that have ended.
      eventually("it is noted", fn -> Store.list(Path.join(spec.cache, "uses")) != [] end)
      assert Prune.run(spec.cache, 0) == []
      FreshVM.stop(vm)
      eventually("nobody uses it", fn -> match?([{_, _} | _], Prune.run(spec.cache, 0)) end)
      assert {:error, _} = Environment.locate(spec)
    end
  end

  describe "requirements" do
    test "are a file, with others that it includes", %{tmp_dir: folder} do
      file = Path.join(folder, "requirements.txt")
      File.write!(file, "-r more.txt\n./wheels/colour-1.0-py3-none-any.whl\n")
      File.write!(Path.join(folder, "more.txt"), "shade\n")
      spec = Wheels.spec(folder, requirements: file)
      assert installed!(spec).mark.packages == [{"colour", "1.0"}, {"shade", "1.5"}]

      File.write!(Path.join(folder, "more.txt"), "shade==1.5\n")
      assert {:error, _not_installed} = Environment.locate(spec)
    end

    test "that are not there are an error", %{tmp_dir: folder} do
      assert {{:error, %{reason: :invalid} = error}, []} =
               install(Wheels.spec(folder, requirements: "/no/such.txt"))

      assert Exception.message(error) =~ "/no/such.txt"
    end
  end

  describe "a project" do
    defp project(folder, dependencies) do
      project = Path.join(folder, "project")
      File.mkdir_p!(project)

      File.write!(Path.join(project, "pyproject.toml"), """
      [project]
      name = "app"
      version = "0.1"
      requires-python = ">=3.8"
      dependencies = #{inspect(dependencies)}
      """)

      project
    end

    test "is installed by its lock, which is made if there is none", %{tmp_dir: folder} do
      project = project(folder, ["colour"])
      spec = Wheels.spec(folder, project: project)
      environment = installed!(spec)
      assert environment.mark.packages == [{"colour", "1.0"}, {"shade", "1.5"}]
      assert File.exists?(Path.join(project, "uv.lock"))
      assert Environment.locate(spec) == {:ok, environment.interpreter}

      assert {:ok, path, :changed} = lock!(spec)
      assert path == Path.join(project, "python.lock")
      wheel = File.read!(Path.join(folder, "wheels/colour-1.0-py3-none-any.whl"))
      assert File.read!(path) =~ ~r/colour==1.0 \\\n +--hash=sha256:#{Wheels.sha256(wheel)}/
      assert installed!(spec).mark.locked

      # Another dependency: neither lock fits.
      project(folder, ["shade"])
      assert {{:error, %{reason: :not_locked} = error}, []} = install(spec)
      assert Exception.message(error) =~ "mix python.lock"
    end

    test "that requires another version than the setting is an error that says so", %{
      tmp_dir: folder
    } do
      project = Path.join(folder, "python")
      File.mkdir_p!(project)
      text = ~s([project]\nname = "kiosk"\nversion = "0.1"\nrequires-python = ">=3.99"\n)
      File.write!(Path.join(project, "pyproject.toml"), text)
      spec = Wheels.spec(folder, project: project, version: ">=3.8")
      assert {:error, %InstallError{reason: :failed, remedy: remedy}} = lock!(spec)
      assert remedy =~ ":version"
      assert {{:error, %InstallError{remedy: ^remedy}}, _lines} = install(spec)
      assert half_made(spec) == []
    end

    test "without a pyproject.toml is an error", %{tmp_dir: folder} do
      assert {{:error, %{reason: :invalid} = error}, []} =
               install(Wheels.spec(folder, project: folder))

      assert Exception.message(error) =~ "pyproject.toml"
    end
  end

  describe "the lock" do
    test "pins versions with hashes, from any index", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["colour"])
      assert {:ok, path, :changed} = lock!(spec)
      text = File.read!(path)
      assert text =~ "colour==1.0"

      assert text =~
               "--hash=sha256:" <>
                 Wheels.sha256(File.read!(Path.join(folder, "wheels/shade-1.5-py3-none-any.whl")))

      # A lock is for all machines.
      refute text =~ folder

      # There is a newer one now.
      Wheels.write(Path.join(folder, "wheels"), "shade", "1.6")
      locked = installed!(spec)
      assert locked.mark.packages == [{"colour", "1.0"}, {"shade", "1.5"}]

      # It stays until it is asked for.
      assert {:ok, ^path, :same} = lock!(spec)
      assert {:ok, ^path, :changed} = lock!(spec, true)
      assert installed!(spec).mark.packages == [{"colour", "1.0"}, {"shade", "1.6"}]

      # Another place with the same files.
      File.write!(path, text)
      File.rename!(Path.join(folder, "wheels"), Path.join(folder, "mirror"))
      mirror = %{spec | find_links: [Path.join(folder, "mirror")]}
      assert Key.request(mirror) == Key.request(spec)
      assert {{:ok, again}, _lines} = install(%{mirror | cache: Path.join(folder, "store2")})
      assert again.mark.packages == locked.mark.packages
    end

    test "is resolved with the Python of the environment, also where uv does not look for one", %{
      tmp_dir: folder
    } do
      {:ok, python} = Interpreter.find(Wheels.python(), embed: false)
      versions = Path.join(folder, "pyenv/versions")
      File.mkdir_p!(versions)
      File.ln_s!(python.base_prefix, Path.join(versions, python.version_string))
      nothing = Path.join(folder, "nothing")

      nowhere = %{
        "PATH" => nothing,
        "HOME" => nothing,
        "PYENV_ROOT" => Path.join(folder, "pyenv")
      }

      spec = Wheels.spec(folder, packages: ["colour"], env: nowhere)
      assert {:ok, python} = Environment.Base.find(spec, spec.cache, &flunk/1)
      assert String.starts_with?(python.executable, versions)
      lock!(spec)
      assert File.read!(Lock.path(spec)) =~ "shade==1.5"
      assert installed!(spec).mark.packages == [{"colour", "1.0"}, {"shade", "1.5"}]
    end

    test "refuses another file of the same name, and leaves nothing", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["shade"])
      {:ok, _path, :changed} = lock!(spec)

      Wheels.write(Path.join(folder, "wheels"), "shade", "1.5",
        files: %{"shade.py" => "import os"}
      )

      spec = %{spec | env: Map.put(spec.env, "UV_CACHE_DIR", Path.join(folder, "uv2"))}
      assert {{:error, %InstallError{reason: :wrong_hash} = error}, _lines} = install(spec)
      assert error.output =~ "sha256"
      assert half_made(spec) == []
      assert {:error, _not_installed} = Environment.locate(spec)
    end

    test "fits with the ends of lines of another system", %{tmp_dir: folder} do
      file = Path.join(folder, "requirements.txt")
      File.write!(file, "shade\n")
      spec = Wheels.spec(folder, requirements: file)
      {:ok, path, :changed} = lock!(spec)
      environment = installed!(spec)

      for path <- [file, path],
          do: File.write!(path, String.replace(File.read!(path), "\n", "\r\n"))

      assert Environment.locate(spec) == {:ok, environment.interpreter}
      assert {{:ok, %{made: :found}}, []} = install(spec)
    end

    test "that was made of something else is an error", %{tmp_dir: folder} do
      {:ok, path, :changed} = lock!(Wheels.spec(folder, packages: ["shade"]))
      spec = Wheels.spec(folder, packages: ["shade", "colour"])
      assert {{:error, %{reason: :not_locked} = error}, []} = install(spec)
      assert error.details.path == path
      assert %{problems: [{_text, remedy}]} = Check.run(spec)
      assert remedy =~ "mix python.lock"
    end
  end

  describe "something goes wrong:" do
    test "two VMs install the same, and one of them does the work", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["colour"])

      code =
        "Python.Environment.Install.run(#{spec_code(spec)}, &IO.puts/1) |> then(fn {:ok, e} -> IO.puts([\"made: \", to_string(e.made)]) end)"

      runs = for _ <- 1..2, do: Task.async(fn -> FreshVM.run(code, start: false) end)
      outputs = for {output, 0} <- Task.await_many(runs, 100_000), do: output
      assert length(outputs) == 2
      all = Enum.join(outputs)
      assert length(Regex.scan(~r/^Making/m, all)) == 1

      assert Enum.sort(Regex.scan(~r/^made: (\w+)/m, all, capture: :all_but_first)) == [
               ["found"],
               ["made"]
             ]

      assert half_made(spec) == []
    end

    test "a VM is killed in the middle, and the next one starts anew", %{tmp_dir: folder} do
      uv = slow_uv(folder, "touch #{folder}/there")
      spec = Wheels.spec(folder, packages: ["shade"])
      vm = FreshVM.start(start: false)
      pid = FreshVM.call(vm, System, :pid, [])
      slow = %{spec | uv: uv}
      spawn(fn -> :peer.call(vm, Install, :run, [slow, &Function.identity/1], :infinity) end)
      eventually("uv installs", fn -> File.exists?(Path.join(folder, "there")) end)
      assert [_ | _] = half_made(spec)
      System.cmd("kill", ["-KILL", pid])

      eventually("the VM is gone", fn ->
        not File.exists?("/proc/#{pid}") or not File.dir?("/proc/self")
      end)

      assert {:error, _not_installed} = Environment.locate(spec)
      environment = installed!(spec)
      assert version(environment, "shade") == "1.5"
      assert half_made(spec) == []
    end

    test "who asked is killed, and uv with it", %{tmp_dir: folder} do
      uv = slow_uv(folder, "echo $$ > #{folder}/pid")
      spec = Wheels.spec(folder, packages: ["shade"])
      pid = spawn(fn -> Install.run(%{spec | uv: uv}, fn _line -> :ok end) end)

      eventually("uv installs", fn ->
        match?({:ok, <<_, _::binary>>}, File.read(Path.join(folder, "pid")))
      end)

      os_pid = folder |> Path.join("pid") |> File.read!() |> String.trim()
      Process.exit(pid, :kill)

      eventually("uv has ended", fn ->
        match?(
          {_, status} when status != 0,
          System.cmd("kill", ["-0", os_pid], stderr_to_stdout: true)
        )
      end)

      # It is nobody's turn, and nothing of it is used.
      assert version(installed!(spec), "shade") == "1.5"
    end

    test "the folder of the environments cannot be written", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["shade"])
      File.write!(Path.join(folder, "file"), "")

      assert {{:error, %InstallError{} = error}, _lines} =
               install(%{spec | cache: Path.join(folder, "file/store")})

      assert error.message =~ "file/store"
    end

    test "the folder of the environments is read-only, which is no matter for what is there", %{
      tmp_dir: folder
    } do
      spec = Wheels.spec(folder, packages: ["shade"])
      environment = installed!(spec)

      case mount(folder, spec.cache, ["-o", "bind"], ["-o", "remount,bind,ro"]) do
        :ok ->
          assert Environment.locate(spec) == {:ok, environment.interpreter}
          assert {{:ok, %{made: :found}}, []} = install(spec)

          assert {{:error, %InstallError{reason: :read_only} = error}, _} =
                   install(Wheels.spec(folder, packages: ["colour"]))

          assert error.remedy =~ "ERLANG_PYTHON_CACHE"

        :cannot ->
          :ok
      end
    end

    test "the disk is full", %{tmp_dir: folder} do
      Wheels.write(Path.join(folder, "wheels"), "large", "1.0",
        files: %{"large.bin" => :crypto.strong_rand_bytes(3_000_000)}
      )

      spec = Wheels.spec(folder, packages: ["large"])
      File.mkdir_p!(spec.cache)

      case mount(folder, spec.cache, ["-t", "tmpfs", "-o", "size=2m", "tmpfs"], nil) do
        :ok ->
          assert {{:error, %InstallError{reason: :no_space} = error}, _lines} = install(spec)
          assert error.remedy =~ "Make room"
          assert half_made(spec) == []
          assert {:error, _not_installed} = Environment.locate(spec)

        :cannot ->
          :ok
      end
    end

    # Only root may, and not in every container.
    defp mount(_folder, store, arguments, again) do
      source = if again, do: [store], else: []

      with {_, 0} <- mount_command(arguments ++ source ++ [store]) do
        on_exit(fn -> System.cmd("umount", ["-l", store], stderr_to_stdout: true) end)
        if again, do: {_, 0} = mount_command(again ++ [store])
        :ok
      else
        _ -> :cannot
      end
    end

    defp mount_command(arguments) do
      if System.find_executable("mount"),
        do: System.cmd("mount", arguments, stderr_to_stdout: true),
        else: {"", 1}
    end

    test "somebody has changed an environment, and --force makes it again", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["shade"])
      environment = installed!(spec)
      assert %{problems: []} = Check.run(spec)

      [info] =
        Path.wildcard(
          Path.join(environment.folder, "lib/python*/site-packages/shade-1.5.dist-info")
        )

      File.rename!(info, String.replace(info, "1.5", "9.9"))
      assert %{problems: [{text, remedy}]} = Check.run(spec)
      assert text =~ "shade is 9.9, was 1.5"
      assert remedy =~ "--force"
      assert {{:ok, %{made: :made}}, _lines} = install(spec, true)
      assert %{problems: []} = Check.run(spec)
      assert half_made(spec) == []
    end

    test "a part of an environment is gone, and it is made again", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["shade"])
      environment = installed!(spec)
      mark = Path.join(environment.folder, "erlang_python.term")

      for break <- [
            fn -> File.write!(mark, "") end,
            fn -> File.write!(mark, "\"another\".") end,
            # Its Python has been removed.
            fn ->
              File.rm!(environment.interpreter)
              File.ln_s!("/nonexistent/python", environment.interpreter)
            end,
            fn -> File.rm_rf!(Path.join(environment.folder, "bin")) end,
            fn -> File.rm_rf!(environment.folder) && File.write!(environment.folder, "") end
          ] do
        break.()
        assert installed!(spec).made == :made

        assert installed!(spec) == %{
                 environment
                 | made: :found,
                   mark: Python.Environment.Mark.read(environment.folder)
               }

        assert version(environment, "shade") == "1.5"
      end

      assert half_made(spec) == []
    end

    test "what is known of requests is broken, and is made again", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["shade"])
      environment = installed!(spec)
      [request] = Store.list(Path.join(spec.cache, "requests"))
      File.rm!(request)
      File.mkdir_p!(Path.join(request, "folder"))
      assert installed!(spec).made == :found
      assert File.read!(request) == Path.basename(environment.folder)
    end

    test "uv says what makes no sense", %{tmp_dir: folder} do
      answers = "case $1 in --version) echo uv 1.2.3; exit 0;; esac"

      for {script, reason, text} <- [
            {"echo 'uv '", :no_uv, "`uv --version` said"},
            {"echo uv", :no_uv, "`uv --version` said"},
            {"head -c 1000 /dev/urandom", :no_uv, "does not work"},
            {"head -c 5000000 /dev/zero | tr '\\0' x", :no_uv, ~s("xxx)},
            {answers, :no_uv, "has made no virtual environment"},
            {answers <> "\nhead -c 5000000 /dev/zero | tr '\\0' x; exit 3", :failed, "xxx"}
          ] do
        uv = uv(folder, script)
        spec = Wheels.spec(folder, packages: ["shade"], uv: uv)
        assert {{:error, %InstallError{reason: ^reason} = error}, _lines} = install(spec)
        assert Exception.message(error) =~ text
        # What is shown of a line that does not end.
        assert byte_size(Exception.message(error)) < 50_000
        assert half_made(spec) == []
      end
    end

    test "uv is not there, does not work, or is too old", %{tmp_dir: folder} do
      spec = Wheels.spec(folder, packages: ["shade"])
      assert {{:error, %{reason: :no_uv} = error}, _} = install(%{spec | uv: "/no/such/uv"})
      assert Exception.message(error) =~ "/no/such/uv"

      for {text, message} <- [
            {"echo uv 0.4.1", ~r/uv 0.4.1, and 0.9.0/},
            {"echo hello", ~r/said "hello"/},
            {"exit 3", ~r/status 3/}
          ] do
        uv = uv(folder, text)
        assert {{:error, %{reason: :no_uv} = error}, _} = install(%{spec | uv: uv})
        assert Exception.message(error) =~ message
      end
    end
  end

  # As code for another VM.
  defp spec_code(spec),
    do:
      "struct!(Python.Environment.Spec, #{inspect(Map.to_list(Map.from_struct(spec)), limit: :infinity, printable_limit: :infinity)})"
end
