defmodule Python.Environment.IndexesTest do
  # Package indexes with passwords, certificates and proxies, which run here.
  use Python.TestCase, async: true

  alias Python.{Index, InstallError, Wheels}
  alias Python.Environment.{Base, Install, Lock, Spec, Store, Uv}

  @moduletag skip: Wheels.skip(__ENV__)
  @moduletag :tmp_dir
  @moduletag timeout: 120_000

  @password "s3cret/wörd@1"
  @quoted "s3cret%2Fw%C3%B6rd%401"

  setup %{tmp_dir: folder} do
    own = Path.join(folder, "own")
    one = Wheels.write(own, "shade", "1.5")
    other = Wheels.write(own, "colour", "1.0", requires: ["shade"])
    %{wheels: [one, other]}
  end

  defp install(folder, options) do
    spec = spec(folder, options)
    test = self()
    result = Install.run(spec, &send(test, {:line, &1}))
    {result, Wheels.lines(), spec}
  end

  # Nothing of it is in the folder of wheels.
  defp spec(folder, options),
    do: %{
      Wheels.spec(folder, [offline: false] ++ options)
      | find_links: Keyword.get(options, :find_links, [])
    }

  defp installed(result) do
    assert {{:ok, environment}, _lines, _spec} = result
    environment.mark.packages
  end

  # All files of the test, but for the wheels.
  defp refute_written(folder, secrets) do
    for path <- Path.wildcard(Path.join(folder, "**"), match_dot: true),
        File.regular?(path),
        text = File.read!(path),
        secret <- secrets do
      refute String.contains?(text, secret), "#{path} has #{secret}"
    end
  end

  test "an index of one's own is used, and no other", %{tmp_dir: folder, wheels: wheels} do
    index = Index.start(wheels: wheels)
    result = install(folder, packages: ["colour"], index: index.url <> "/simple")
    assert installed(result) == [{"colour", "1.0"}, {"shade", "1.5"}]
    assert Enum.any?(index.log.(), &match?({"GET", {:abs_path, "/simple/shade/"}, _}, &1))
  end

  test "a password is told by an environment variable, and is written nowhere", %{
    tmp_dir: folder,
    wheels: wheels
  } do
    index = Index.start(wheels: wheels, auth: {"me", @password})
    url = String.replace(index.url, "://", "://${INDEX_USER}:${INDEX_TOKEN}@") <> "/simple"
    env = %{"INDEX_USER" => "me", "INDEX_TOKEN" => @password}

    assert {{:ok, environment}, lines, spec} =
             install(folder, packages: ["colour"], index: url, env: env)

    assert environment.mark.packages == [{"colour", "1.0"}, {"shade", "1.5"}]

    {:ok, uv} = Uv.find(spec, nil, spec.cache, & &1)
    {:ok, python} = Base.find(spec, spec.cache, & &1)

    assert {:ok, path, :changed} =
             Store.temporary(
               spec.cache,
               &Lock.write(uv, spec, python, false, &1, fn _ -> :ok end)
             )

    assert File.read!(path) =~ "shade==1.5"

    refute_written(folder, [@password, @quoted])
    refute Enum.join(lines) =~ "s3cret"
    refute inspect(spec) =~ "s3cret"
    refute inspect(environment) =~ "s3cret"
  end

  test "a password in the URL is written nowhere either", %{tmp_dir: folder, wheels: wheels} do
    index = Index.start(wheels: wheels, auth: {"me", "s3cretword"})
    url = String.replace(index.url, "://", "://me:s3cretword@") <> "/simple"
    assert {{:ok, _}, lines, spec} = install(folder, packages: ["colour"], index: url)
    refute_written(folder, ["s3cretword"])
    refute Enum.join(lines) =~ "s3cret"
    refute inspect(spec) =~ "s3cret"
  end

  test "a wrong password is an error that does not tell it", %{tmp_dir: folder, wheels: wheels} do
    index = Index.start(wheels: wheels, auth: {"me", "right"})
    url = String.replace(index.url, "://", "://me:wr0ngword@") <> "/simple"

    assert {{:error, %InstallError{} = error}, lines, _spec} =
             install(folder, packages: ["colour"], index: url)

    assert error.reason == :network
    assert error.remedy =~ "${INDEX_TOKEN}"
    refute Exception.message(error) =~ "wr0ng"
    refute Enum.join(lines) =~ "wr0ng"
    refute_written(folder, ["wr0ngword"])
  end

  test "a password in the URL of a package is not locked, and the name of a variable is", %{
    tmp_dir: folder,
    wheels: wheels
  } do
    index = Index.start(wheels: wheels, auth: {"me", "s3cretword"})

    package =
      &"shade @ #{String.replace(index.url, "://", "://me:#{&1}@")}/files/shade-1.5-py3-none-any.whl"

    nothing = Index.start([])
    options = [index: nothing.url <> "/simple", env: %{"SHADE_TOKEN" => "s3cretword"}]

    for {password, outcome} <- [{"s3cretword", :refused}, {"${SHADE_TOKEN}", :locked}] do
      assert {{:ok, environment}, lines, spec} =
               install(
                 Path.join(folder, "#{outcome}"),
                 [packages: [package.(password)]] ++ options
               )

      assert environment.mark.packages == [{"shade", "1.5"}]
      refute Enum.join(lines) =~ "s3cret"
      File.mkdir_p!(spec.base)
      {:ok, uv} = Uv.find(spec, nil, spec.cache, & &1)
      {:ok, python} = Base.find(spec, spec.cache, & &1)

      result =
        Store.temporary(spec.cache, &Lock.write(uv, spec, python, false, &1, fn _ -> :ok end))

      case outcome do
        :refused ->
          assert {:error, %{reason: :invalid} = error} = result
          assert Exception.message(error) =~ "${TOKEN}"

        :locked ->
          assert {:ok, path, :changed} = result
          assert File.read!(path) =~ "me:${SHADE_TOKEN}@"

          assert {{:ok, _}, _lines, _spec} =
                   install(spec.base, [packages: spec.packages] ++ options)
      end
    end

    refute_written(folder, ["s3cretword"])
  end

  test "whatever a URL looks like, what is before its host is not shown" do
    for url <-
          ~w(https://me:s3cret@host/x https://s3cret@host https://me:s3@cret@host/x git+ssh://s3cret:@host/x
           HTTPS://me:s3cret@host:80/x?y#z) do
      refute Python.Environment.Secrets.mask_url("own @ #{url} and more") =~ ~r/s3|cret/
      assert Python.Environment.Secrets.mask_url(url) =~ "host"
    end

    assert Python.Environment.Secrets.mask_url("https://${A}:${B}@host") ==
             "https://${A}:${B}@host"
  end

  test "nobody else on the machine sees a password", %{tmp_dir: folder, wheels: wheels} do
    test = self()

    # While uv asks for a page, its arguments are looked at.
    look = fn _path ->
      send(test, {:ps, elem(System.cmd("ps", ["axww", "-o", "args"]), 0)})
      nil
    end

    index = Index.start(wheels: wheels, auth: {"me", "s3cretword"}, answer: look)
    url = String.replace(index.url, "://", "://me:s3cretword@") <> "/simple"
    links = String.replace(index.url, "://", "://me:s3cretword@") <> "/links"

    assert {{:ok, _}, _, _} =
             install(folder, packages: ["colour"], index: url, find_links: [links])

    assert_received {:ps, processes}
    assert processes =~ "pip install"
    refute processes =~ "s3cret"
  end

  test "a variable that is not set is an error before anything is done", %{tmp_dir: folder} do
    assert {{:error, %{reason: :missing_variable} = error}, _lines, _spec} =
             install(folder,
               packages: ["colour"],
               index: "https://${NO_SUCH_VARIABLE_1}@localhost/simple"
             )

    assert Exception.message(error) =~ "NO_SUCH_VARIABLE_1"
  end

  test "packages of an extra index come from there, others from the index", %{
    tmp_dir: folder,
    wheels: [shade, colour]
  } do
    newer = Wheels.write(Path.join(folder, "other"), "shade", "9.0")
    index = Index.start(wheels: [newer, colour])
    extra = Index.start(wheels: [shade], auth: {"me", "s3cretword"})
    url = String.replace(extra.url, "://", "://me:${EXTRA_TOKEN}@") <> "/simple"

    options = [
      packages: ["colour"],
      index: index.url <> "/simple",
      extra_index: [url],
      env: %{"EXTRA_TOKEN" => "s3cretword"}
    ]

    # Who can put a package of the same name into the other index is not asked.
    assert installed(install(folder, options)) == [{"colour", "1.0"}, {"shade", "1.5"}]
    refute_written(folder, ["s3cretword"])
  end

  test "find_links is a page with links, too", %{tmp_dir: folder, wheels: wheels} do
    nothing = Index.start([])
    links = Index.start(wheels: wheels)

    options = [
      packages: ["colour"],
      index: nothing.url <> "/simple",
      find_links: [links.url <> "/links"]
    ]

    assert installed(install(folder, options)) == [{"colour", "1.0"}, {"shade", "1.5"}]
  end

  test "a certificate of one's own authority is trusted where it is named", %{
    tmp_dir: folder,
    wheels: wheels
  } do
    {:ok, _} = Application.ensure_all_started(:ssl)
    {server, authority} = Index.tls(folder)
    index = Index.start(wheels: wheels, tls: server)
    options = [packages: ["colour"], index: index.url <> "/simple"]
    nobody = Path.join(folder, "nobody.pem")
    File.write!(nobody, "")

    assert {{:error, %InstallError{reason: :network} = error}, _, _} =
             install(
               folder,
               options ++
                 [env: %{"SSL_CERT_FILE" => "", "SSL_CERT_DIR" => "", "UV_HTTP_RETRIES" => "0"}]
             )

    assert error.remedy =~ "SSL_CERT_FILE"
    trusted = options ++ [env: %{"SSL_CERT_FILE" => authority, "SSL_CERT_DIR" => ""}]
    assert installed(install(folder, trusted)) == [{"colour", "1.0"}, {"shade", "1.5"}]
  end

  test "a proxy is used where one is set, and its password told to nobody", %{
    tmp_dir: folder,
    wheels: wheels
  } do
    proxy = Index.start(wheels: wheels)
    address = String.replace(proxy.url, "://", "://me:s3cretword@")
    env = %{"HTTP_PROXY" => address, "http_proxy" => address, "NO_PROXY" => "", "no_proxy" => ""}
    # There is no such host.
    options = [packages: ["colour"], index: "http://index.invalid/simple", env: env]
    assert {{:ok, environment}, lines, spec} = install(folder, options)
    assert environment.mark.packages == [{"colour", "1.0"}, {"shade", "1.5"}]

    assert Enum.any?(
             proxy.log.(),
             &match?({"GET", {:absoluteURI, :http, "index.invalid", _, "/simple/colour/"}, _}, &1)
           )

    refute inspect(spec) =~ "s3cret"
    refute Enum.join(lines) =~ "s3cret"
    refute_written(folder, ["s3cretword"])
  end

  test "an index that does not answer is an error, and the next try works", %{
    tmp_dir: folder,
    wheels: wheels
  } do
    {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(socket)
    :gen_tcp.close(socket)
    options = [packages: ["colour"], env: %{"UV_HTTP_RETRIES" => "0"}]

    assert {{:error, %InstallError{reason: :network} = error}, _, spec} =
             install(folder, options ++ [index: "http://localhost:#{port}/simple"])

    assert error.output =~ "localhost:#{port}"
    assert Store.list(Path.join(spec.cache, "temporary")) == []

    index = Index.start(wheels: wheels)

    assert installed(install(folder, options ++ [index: index.url <> "/simple"])) == [
             {"colour", "1.0"},
             {"shade", "1.5"}
           ]
  end

  test "a file that breaks off is an error, and nothing of it is kept", %{
    tmp_dir: folder,
    wheels: [shade, colour]
  } do
    {:ok, cut} = Agent.start_link(fn -> true end)

    answer = fn path ->
      if path =~ "/files/shade" and Agent.get(cut, & &1),
        do: {200, binary_part(File.read!(shade), 0, 100)}
    end

    index = Index.start(wheels: [shade, colour], answer: answer)
    options = [packages: ["colour"], index: index.url <> "/simple"]
    assert {{:error, %InstallError{}}, _, spec} = install(folder, options)
    assert Store.list(Path.join(spec.cache, "environments")) == []
    Agent.update(cut, fn _ -> false end)
    assert installed(install(folder, options)) == [{"colour", "1.0"}, {"shade", "1.5"}]
  end

  test "settings of the user and of the machine do not interfere", %{
    tmp_dir: folder,
    wheels: wheels
  } do
    index = Index.start(wheels: wheels)
    config = Path.join(folder, "config/uv")
    File.mkdir_p!(config)

    File.write!(
      Path.join(config, "uv.toml"),
      "index-url = \"http://nowhere.invalid/simple\"\npython-downloads = \"manual\"\n"
    )

    # A project in the folder, or above it, has nothing to do with it either.
    File.write!(Path.join(folder, "uv.toml"), "no-binary = true\n")

    env = %{"XDG_CONFIG_HOME" => Path.join(folder, "config"), "HOME" => folder}
    options = [packages: ["colour"], index: index.url <> "/simple"]
    spec = spec(folder, options)

    # Of the VM, not of the setting, which holds.
    code = """
    {:ok, environment} = Python.Environment.Install.run(struct!(Python.Environment.Spec, #{inspect(Map.to_list(Map.from_struct(spec)), limit: :infinity, printable_limit: :infinity)}), &IO.puts/1)
    IO.inspect(environment.mark.packages)
    """

    interfering = [
      {"UV_INDEX_URL", "http://nowhere.invalid/simple"},
      {"UV_NO_BINARY", "1"},
      {"UV_SYSTEM_PYTHON", "1"},
      {"UV_REQUIRE_HASHES", "1"},
      {"PYTHONPATH", "/nonexistent"}
    ]

    {output, status} =
      Python.FreshVM.run(code, start: false, env: Map.to_list(env) ++ interfering)

    assert {0, output} == {status, output}
    assert output =~ ~s([{"colour", "1.0"}, {"shade", "1.5"}])
  end

  test "the same is asked for with and without a password", %{tmp_dir: folder} do
    with_password =
      spec(folder, packages: ["colour"], index: "https://me:s3cretword@localhost/simple")

    without = spec(folder, packages: ["colour"], index: "https://localhost/simple")
    other = spec(folder, packages: ["colour"], index: "https://localhost/other")

    assert Python.Environment.Key.request(with_password) ==
             Python.Environment.Key.request(without)

    assert Python.Environment.Key.request(other) != Python.Environment.Key.request(without)
    assert %Spec{} = other
  end
end
