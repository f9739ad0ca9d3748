defmodule Mix.Tasks.Python.ReleaseTest do
  # The task that builds is tested by test/mix/install_test.exs. The checksum file is written where the
  # VM is.
  use Python.TestCase, async: false

  alias Python.Native.{Artifact, Library}

  @moduletag :tmp_dir

  defp pack(folder, target) do
    for crate <- Library.crates() do
      File.write!(Path.join(folder, Library.built_name(crate, target)), "#{crate} #{target}")
    end

    Artifact.pack(folder, "1.2.3", target, Path.join(folder, "artifacts"))
  end

  defp checksums(folder, arguments) do
    ExUnit.CaptureIO.capture_io(fn ->
      File.cd!(folder, fn ->
        Mix.Tasks.Python.Release.Checksums.run(["artifacts", "--version", "1.2.3" | arguments])
      end)
    end)
  end

  test "an artifact holds the libraries under the names they are loaded by", %{tmp_dir: folder} do
    for target <- ["x86_64-unknown-linux-gnu", "aarch64-apple-darwin"] do
      path = pack(folder, target)
      assert Path.basename(path) == "liberlang_python-v1.2.3-nif-2.15-#{target}.so.tar.gz"
      {:ok, files} = :erl_tar.extract(path, [:memory, :compressed])

      assert Enum.sort(files) == [
               {~c"erlang_python_guard", "erlang_python_guard #{target}"},
               {~c"liberlang_python_loader.so", "erlang_python_loader #{target}"},
               {~c"liberlang_python_nif.so", "erlang_python_nif #{target}"},
               {~c"liberlang_python_process.so", "erlang_python_process #{target}"},
               {~c"liberlang_python_worker.so", "erlang_python_worker #{target}"}
             ]
    end
  end

  test "the checksum file names every artifact", %{tmp_dir: folder} do
    paths = Enum.map(Artifact.targets(), &pack(folder, &1))
    checksums(folder, [])
    {:ok, checksums} = File.cd!(folder, &Artifact.checksums/0)
    assert checksums == Map.new(paths, &{Path.basename(&1), Artifact.checksum(&1)})
    assert Enum.all?(checksums, fn {_name, sum} -> sum =~ ~r/^sha256:[0-9a-f]{64}$/ end)
  end

  test "a target that is missing, or a file too many, is told and nothing written", %{
    tmp_dir: folder
  } do
    [first | rest] = Artifact.targets()
    Enum.each(rest, &pack(folder, &1))
    File.write!(Path.join(folder, "artifacts/liberlang_python-v1.2.2.so.tar.gz"), "")

    error = assert_raise Mix.Error, fn -> checksums(folder, []) end
    assert error.message =~ "Missing:\n  #{Artifact.name("1.2.3", first)}\n"
    assert error.message =~ "Not expected:\n  liberlang_python-v1.2.2.so.tar.gz\n"
    refute File.exists?(Path.join(folder, "checksum-erlang_python.exs"))
  end

  test "the package's check knows the same targets" do
    script = File.read!("scripts/check_package.sh")
    [_, line] = Regex.run(~r/for target in (.+); do/, script)
    {targets, 0} = System.cmd("bash", ["-c", "printf '%s\\n' #{line}"])
    assert Enum.sort(String.split(targets)) == Enum.sort(Artifact.targets())
    assert script =~ "-nif-#{Artifact.nif_version()}-"
  end
end
