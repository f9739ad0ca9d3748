defmodule Python.Environment.SecretsTest do
  # What is told about settings has no password in it, however wrong they are.
  use ExUnit.Case, async: true

  alias Python.Environment.{Secrets, Spec}

  @long "https://aws:#{String.duplicate("s3cret", 100)}@host.example/simple"

  for {what, python} <- [
        {"a map", %{index: "https://me:s3cret@host.example/simple"}},
        {"a long token", [index: [@long]]},
        {"a long token in a tuple", [index: {:url, @long}]},
        {"a long token in a map", %{index: @long}},
        {"characters", [index: {:url, ~c"https://me:s3cret@host.example/simple"}]},
        {"a value of env", [env: %{"INDEX_TOKEN" => :s3cret, "HOST" => "host.example"}]},
        {"a good value of env beside another",
         [env: %{"A_TOKEN" => "s3cret", "host.example" => 1}]},
        {"names of env that are atoms", [env: [INDEX_PASSWORD: "s3cret", HOST: "host.example"]]},
        {"names of env that are characters",
         [env: [{~c"MY_PAT", ~c"s3cret"}, {"host.example", 1}]]},
        {"env in a map", %{env: %{"INDEX_PASS" => "s3cret"}, of: "host.example"}},
        {"a password with a slash",
         [packages: ["own @ https://me:s3c/s3cret@host.example/o.whl", 1]]},
        {"a token in a query",
         [packages: ["own @ https://host.example/o.whl?a=b&token=s3cret", 1]]},
        {"a string as a key", [{"index", "https://s3cret@host.example"}]}
      ] do
    test "#{what} is refused without what is secret" do
      assert {:error, error} = Spec.new(unquote(Macro.escape(python)), "the setting :python")
      text = Exception.message(error)
      refute text =~ "s3c"
      assert text =~ "host.example"
    end
  end

  test "so are the arguments of Python.install" do
    url = "https://me:s3cret@host.example/simple"

    for {packages, options} <- [
          {url, []},
          {{:index, url}, []},
          {["own"], %{index: url}},
          {["own"], [url]},
          {["own"], [quiet: url]},
          {[index: {url}], []}
        ] do
      error = assert_raise ArgumentError, fn -> Python.install(packages, options) end
      refute error.message =~ "s3cret"
      assert error.message =~ "host.example"
    end
  end

  test "a URL without a host has its password masked" do
    for text <- [
          "https://me:s3cret",
          "https://me:s3cret/simple",
          "the index https://me:s3cret, which",
          ~s(index: "https://me:s3cret"),
          "http://me:123456",
          "https://${USER}:s3cret",
          "https://me:s3cret https://pypi.example.com"
        ] do
      refute Secrets.mask_url(text) =~ ~r/s3cret|123456/
      assert Secrets.literal?(text)
    end

    assert Secrets.mask("got s3cret", Secrets.collect(["https://me:s3cret"], %{})) == "got ****"
  end

  test "tokens in a query, or behind it, are masked, and so is a URI" do
    for part <- ["?sig=s3cret", "?a=1&pwd=s3cret&b=2", "?pass=s3cret", "#access_token=s3cret"] do
      text = "https://host.example/own.whl" <> part
      refute Secrets.mask_url(text) =~ "s3cret"
      assert Secrets.literal?(text)
    end

    uri = URI.parse("https://me:s3cret@host.example/simple")
    assert Secrets.inspect(index: uri) == ~s([index: "https://****@host.example/simple"])
  end

  test "what is no secret stays" do
    for text <- [
          "own @ git+https://host.example/team/own@v1.0",
          "https://host.example:8080/simple/@scope/own",
          "https://host.example/own.whl?page=3#sha256=0123",
          "https://${USER}:${TOKEN}@host.example/own.whl?token=${TOKEN}",
          "numpy>=2,<3; python_version>'3.8'",
          "key=value",
          "https://host.example:8080, and http://[::1]:80/x, and http://[::1]:port",
          "(see https://host.example:443)",
          "https://${HOST}:${PORT}/simple",
          "a://b c@d"
        ] do
      assert Secrets.mask_url(text) == text
      refute Secrets.literal?(text)
    end

    assert Secrets.inspect(packages: ["numpy", 1], env: %{"HTTPS_PROXY" => 1, "PATH" => "x"}) ==
             inspect(packages: ["numpy", 1], env: %{"HTTPS_PROXY" => 1, "PATH" => "x"})

    assert Secrets.inspect([1 | 2]) == "[1 | 2]"
    assert Secrets.inspect(<<255>>) == "<<255>>"
  end
end
