defmodule Python.MixProject do
  use Mix.Project

  @version "0.1.0-dev"

  def project do
    [
      app: :erlang_python,
      version: @version,
      elixir: "~> 1.14",
      description: "Call Python from Elixir and Erlang: CPython embedded in the BEAM.",
      start_permanent: Mix.env() == :prod,
      compilers: Mix.compilers() ++ native_compilers(),
      elixirc_paths: elixirc_paths(Mix.env()),
      erlc_paths: ["src"],
      erlc_options: erlc_options(Mix.env()),
      package: package(),
      deps: deps()
    ]
  end

  def application do
    [
      mod: {Python.Application, []},
      # Started before this one where they are started at all, but not demanded: from an Erlang
      # shell, application:start(erlang_python) works by itself. Their code is needed, their
      # processes are not.
      applications: [:kernel, :stdlib, :elixir, :logger],
      optional_applications: [:elixir, :logger]
    ]
  end

  # A checkout needs no Hex package, so that it builds and passes its tests without Hex.
  defp deps, do: []

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # Mix compiles dependencies in :prod, where a warning of a newer OTP must not stop a user's build.
  defp erlc_options(:prod), do: [:debug_info]
  defp erlc_options(_env), do: [:debug_info, :warnings_as_errors]

  # A released version comes with its native libraries in priv/native.
  defp native_compilers do
    if build_from_source?(), do: [:python_native], else: []
  end

  defp build_from_source? do
    String.ends_with?(@version, "-dev") or
      System.get_env("ERLANG_PYTHON_BUILD") in ["1", "true"]
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{},
      files: [
        "lib",
        "src",
        "priv/python",
        "native/.cargo",
        "native/Cargo.toml",
        "native/Cargo.lock",
        "native/*/Cargo.toml",
        "native/*/src",
        "mix.exs",
        ".formatter.exs",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE"
      ]
    ]
  end
end
