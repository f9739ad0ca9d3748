defmodule Python.Environment.DownloadTest do
  # How uv comes to a machine that has none, with a uv that is made here.
  use Python.TestCase, async: true

  alias Python.{Index, InstallError, Wheels}
  alias Python.Environment.{Download, Spec, Store, Uv}

  @moduletag :tmp_dir

  @program "#!/bin/sh\necho \"uv #{Download.version()} (test)\"\n"

  defp spec(folder, options) do
    %{
      struct!(%Spec{base: folder, cache: Path.join(folder, "store")}, options)
      | env: options[:env] || %{}
    }
  end

  # The files of uv's releases, of which one is not what was released.
  defp mirror(folder, content) do
    archive = Path.join(folder, "uv.tar.gz")
    :ok = :erl_tar.create(archive, [{~c"uv-x/uv", content}], [:compressed])
    body = File.read!(archive)
    start = "/mirror/#{Download.version()}/uv-"
    Index.start(answer: fn path -> if String.starts_with?(path, start), do: {200, body} end)
  end

  test "the pip of an interpreter brings it, also without a network", %{tmp_dir: folder} do
    version = Download.version()
    files = %{"uv-#{version}.data/scripts/uv" => @program}
    Wheels.write(Path.join(folder, "wheels"), "uv", version, files: files)
    # What a user has set for his own packages is in the way.
    File.write!(
      Path.join(folder, "pip.conf"),
      "[install]\nuser = yes\n[global]\nrequire-virtualenv = yes\n"
    )

    env = %{"PIP_CONFIG_FILE" => Path.join(folder, "pip.conf")}
    spec = spec(folder, find_links: [Path.join(folder, "wheels")], offline: true, env: env)

    assert {:ok, path} = Download.get(spec, Wheels.python(), spec.cache, fn _line -> :ok end)
    assert {text, 0} = System.cmd(path, ["--version"])
    assert text =~ version
    # The next time it is there.
    assert Download.kept(spec.cache) == {:ok, path}
    assert {:ok, ^path} = Download.get(spec, "/no/such/python", spec.cache, &flunk/1)
  end

  test "an environment without pip has it from the Python below", %{tmp_dir: folder} do
    version = Download.version()
    program = %{"uv-#{version}.data/scripts/uv" => @program}
    Wheels.write(Path.join(folder, "wheels"), "uv", version, files: program)
    venv = Path.join(folder, "venv")
    {_, 0} = System.cmd(Wheels.python(), ["-m", "venv", "--without-pip", venv])
    spec = spec(folder, find_links: [Path.join(folder, "wheels")], offline: true)
    python = Path.join(venv, "bin/python")
    assert {:ok, path} = Download.get(spec, python, spec.cache, fn _line -> :ok end)
    assert {"uv " <> _, 0} = System.cmd(path, ["--version"])
  end

  test "where neither pip nor the releases have it, the error says both and what to do", %{
    tmp_dir: folder
  } do
    spec = spec(folder, find_links: [folder], offline: true)

    assert {:error, %InstallError{} = error} =
             Download.get(spec, Wheels.python(), spec.cache, fn _line -> :ok end)

    text = Exception.message(error)
    assert text =~ "uv==#{Download.version()}"
    assert text =~ ":offline"
    assert text =~ "put it on PATH"
    assert Store.list(Path.join(spec.cache, "temporary")) == []
  end

  test "a mirror that has another file is refused, and nothing of it is kept", %{tmp_dir: folder} do
    index = mirror(folder, @program)
    spec = spec(folder, uv: index.url <> "/mirror")

    assert {:error, %InstallError{reason: :wrong_hash} = error} =
             Uv.find(spec, nil, spec.cache, fn _line -> :ok end)

    assert Exception.message(error) =~ "SHA-256"
    assert Download.kept(spec.cache) == :none
    assert Store.list(Path.join(spec.cache, "uv")) == []
    assert Store.list(Path.join(spec.cache, "temporary")) == []
  end

  test "a password or a token of a mirror is told to nobody", %{tmp_dir: folder} do
    index = mirror(folder, @program)
    test = self()
    env = %{"MIRROR_PLACE" => "s3cretplace"}

    for {url, reason} <- [
          {String.replace(index.url, "://", "://me:s3cretword@") <> "/mirror", :wrong_hash},
          {String.replace(index.url, "://", "://me:s3cretword@") <> "/nothing", :network},
          {index.url <> "/${MIRROR_PLACE}", :network},
          {index.url <> "/mirror?token=s3cretword", :network},
          {index.url <> "/${NOT_SET}", :missing_variable},
          {"http://me:s3cretword@localhost:1/mirror", :network}
        ] do
      spec = spec(folder, uv: url, env: env)

      assert {:error, %InstallError{reason: ^reason} = error} =
               Uv.find(spec, nil, spec.cache, &send(test, {:line, &1}))

      refute inspect(error) =~ "s3cret"
      refute Exception.message(error) =~ "s3cret"
    end

    assert Enum.any?(index.log.(), fn {_method, {:abs_path, path}, _headers} ->
             path =~ "/s3cretplace/"
           end)

    refute inspect(Process.info(self(), :messages), limit: :infinity) =~ "s3cret"
  end

  test "a mirror that does not answer, or has no such file, is told", %{tmp_dir: folder} do
    index = Index.start([])
    spec = spec(folder, uv: String.replace(index.url, "://", "://me:s3cretword@") <> "/mirror")

    assert {:error, %InstallError{reason: :network} = error} =
             Uv.find(spec, nil, spec.cache, fn _line -> :ok end)

    assert Exception.message(error) =~ "404"
    refute Exception.message(error) =~ "s3cret"

    spec = spec(folder, uv: "http://localhost:1/mirror")

    assert {:error, %InstallError{reason: :network} = error} =
             Uv.find(spec, nil, spec.cache, fn _line -> :ok end)

    assert Exception.message(error) =~ "localhost:1"

    spec = spec(folder, uv: "file://#{folder}/nothing")
    assert {:error, %InstallError{} = error} = Uv.find(spec, nil, spec.cache, fn _line -> :ok end)
    assert Exception.message(error) =~ "no such file"
  end

  test "a mirror is asked through the proxy, and with the certificates, that the environment names",
       %{tmp_dir: folder} do
    proxy = mirror(folder, @program)

    env = %{
      "http_proxy" => proxy.url,
      "HTTP_PROXY" => proxy.url,
      "NO_PROXY" => "",
      "no_proxy" => ""
    }

    spec = spec(folder, uv: "http://mirror.invalid/mirror", env: env)
    # It has been asked, as it has answered with that file.
    assert {:error, %InstallError{reason: :wrong_hash}} =
             Uv.find(spec, nil, spec.cache, fn _line -> :ok end)

    {:ok, _} = Application.ensure_all_started(:ssl)
    {server, authority} = Index.tls(folder)
    index = Index.start(tls: server)
    spec = spec(folder, uv: index.url <> "/mirror", env: %{"SSL_CERT_FILE" => authority})
    assert {:error, %InstallError{} = error} = Uv.find(spec, nil, spec.cache, fn _line -> :ok end)
    assert Exception.message(error) =~ "404"

    spec = %{spec | env: %{"SSL_CERT_FILE" => "/no/such/file"}}
    assert {:error, %InstallError{} = error} = Uv.find(spec, nil, spec.cache, fn _line -> :ok end)
    assert Exception.message(error) =~ "/no/such/file"
  end

  test "the program is taken out of the archive that has the hash", %{tmp_dir: folder} do
    archive = Path.join(folder, "uv.tar.gz")

    :ok =
      :erl_tar.create(archive, [{~c"uv-x/uv", @program}, {~c"uv-x/uvx", "other"}], [:compressed])

    content = File.read!(archive)
    assert Download.check(content, Wheels.sha256(content), "a file") == :ok
    assert Download.unpack(content, Path.join(folder, "made"), "a file") == :ok
    assert {text, 0} = System.cmd(Path.join(folder, "made/bin/uv"), ["--version"])
    assert text =~ Download.version()

    assert {:error, %InstallError{reason: :no_uv}} =
             Download.unpack("no archive", folder, "a file")
  end

  test "each system has its name in the releases" do
    for {architecture, target} <- [
          {"x86_64-pc-linux-gnu", "x86_64-unknown-linux-gnu"},
          {"x86_64-alpine-linux-musl", "x86_64-unknown-linux-musl"},
          {"aarch64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"},
          {"aarch64-apple-darwin23.1.0", "aarch64-apple-darwin"},
          {"x86_64-apple-darwin21.6.0", "x86_64-apple-darwin"},
          {"armv7l-unknown-linux-gnueabihf", "armv7-unknown-linux-gnueabihf"},
          {"riscv64-unknown-linux-gnu", "riscv64gc-unknown-linux-gnu"},
          {"powerpc64le-unknown-linux-gnu", "powerpc64le-unknown-linux-gnu"}
        ] do
      assert Download.target(architecture) == target
    end
  end
end
