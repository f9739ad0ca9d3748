defmodule Python.MixProject do
  use Mix.Project

  @version "0.1.0-dev"

  # Where releases and their artifacts are. The owner is filled in before the first release;
  # scripts/check_package.sh refuses a package without.
  @source_url "https://github.com/OWNER/erlang_python"

  # The sections of functions in the documentation, from `@doc group: …`.
  @doc_groups [
    "Calling",
    "Asynchronous calls",
    "Streams",
    "Objects",
    "Callbacks",
    "Packages",
    "Information"
  ]

  def project do
    [
      app: :erlang_python,
      name: "erlang_python",
      version: @version,
      elixir: "~> 1.14",
      description: "Call Python from Elixir and Erlang: CPython embedded in the BEAM.",
      start_permanent: Mix.env() == :prod,
      source_url: @source_url,
      compilers: Mix.compilers() ++ [:python_native],
      # Where the compiler python_native takes the libraries from.
      native: if(build_from_source?(), do: :cargo, else: :precompiled),
      elixirc_paths: elixirc_paths(Mix.env()),
      # Applications of OTP that the tests' servers use.
      xref: [exclude: if(Mix.env() == :test, do: [:crypto, :public_key, :ssl], else: [])],
      erlc_paths: ["src"],
      erlc_options: erlc_options(Mix.env()),
      package: package(),
      docs: &docs/0,
      deps: deps()
    ]
  end

  def application do
    [
      mod: {Python.Application, []},
      # Elixir is started before this one where it is started at all, but not demanded: from an
      # Erlang shell, application:start(erlang_python) works by itself. Its code is needed, its
      # processes are not. Logs go to OTP's logger, whose handler Elixir's Logger is.
      # Telemetry is the user's to add, and is to be there when this one looks. Where it is not when this one
      # is compiled, a release would ask for it.
      applications: [:kernel, :stdlib, :elixir] ++ telemetry(),
      optional_applications: [:elixir] ++ telemetry()
    ]
  end

  defp telemetry,
    do: if(:code.where_is_file(~c"telemetry.app") == :non_existing, do: [], else: [:telemetry])

  # A checkout needs no Hex package, so that it builds and passes its tests without Hex. A release needs
  # one while it is compiled, and not after, and is compiled after the other where that is there.
  defp deps do
    if build_from_source?() do
      []
    else
      [
        {:rustler_precompiled, "~> 0.8", runtime: false},
        # From 0.13 on, Kino.Render gives maps, and exports of tables know the order of the rows.
        {:kino, "~> 0.13", optional: true},
        {:telemetry, "~> 1.0", optional: true},
        # For publishing, and for nobody who uses the package.
        {:ex_doc, "~> 0.40", only: :dev, runtime: false}
      ]
    end
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_env), do: ["lib"]

  # Mix compiles dependencies in :prod, where a warning of a newer OTP must not stop a user's build.
  defp erlc_options(:prod), do: [:debug_info]
  defp erlc_options(_env), do: [:debug_info, :warnings_as_errors]

  # A released version downloads its native libraries.
  defp build_from_source? do
    String.ends_with?(@version, "-dev") or
      System.get_env("ERLANG_PYTHON_BUILD") in ["1", "true"]
  end

  # For ExDoc. `make docs` brings one along; nothing else needs it.
  defp docs do
    [
      main: "readme",
      source_ref: if(String.ends_with?(@version, "-dev"), do: "main", else: "v#{@version}"),
      extras: extras(),
      groups_for_extras: [
        Guides: ~r{^guides/[^/]+\.md$},
        Cheatsheets: ~r{\.cheatmd$},
        Livebooks: ~r{\.livemd$},
        "The project": ~r{^(?!README)(bench/)?[A-Z]+(\.md)?$}
      ],
      groups_for_modules: [
        "Calling Python": ~r{^Python(\.(Pool|Context|Async|Telemetry))?$},
        "From Erlang": [:py],
        "In Livebook": [Python.Livebook],
        "Values and objects":
          ~r{^Python\.(Object|Array|Nx|Table|Bytes|Buffer|Iterator|Function|Encoder)$},
        Errors: ~r{^Python\.\w*Error$},
        "Setting up": ~r{^Python\.(Settings|Interpreter|Doctor|Release)$},
        "Mix tasks": ~r{^Mix\.Tasks\.}
      ],
      groups_for_docs:
        for(group <- @doc_groups, do: {String.to_atom(group), &(&1[:group] == group)}),
      # `py` has the same functions as Python.Erlang, with the same documentation. The tasks are for those who work
      # on the package; `mix help` shows what they do.
      filter_modules: fn module, _metadata ->
        module != Python.Erlang and
          not (inspect(module) =~ ~r{^Mix\.Tasks\.Python\.(Release|Gen)\.})
      end,
      assets: %{"bench/charts" => "charts"},
      # It speaks of modules that are nobody's to call.
      skip_undefined_reference_warnings_on: ["ARCHITECTURE.md"],
      formatters: ["html", "epub"]
    ]
  end

  # Guides in the order in which they are best read.
  defp extras do
    guides =
      ~w(getting_started packages project_layout types data errors callbacks streaming engines asyncio nodes untrusted_code recipes testing production
         deployment erlang livebook troubleshooting comparison)

    ["README.md": [title: "Overview"]] ++
      Enum.map(guides, &"guides/#{&1}.md") ++
      Path.wildcard("guides/*.cheatmd") ++
      Path.wildcard("livebooks/*.livemd") ++
      [
        "bench/RESULTS.md": [title: "Benchmarks"],
        "bench/PEERS.md": [title: "Beside other libraries"]
      ] ++
      ~w(ARCHITECTURE.md CONTRIBUTING.md RELEASE.md CHANGELOG.md LICENSE)
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{
        "GitHub" => @source_url,
        "Changelog" => "#{@source_url}/blob/v#{@version}/CHANGELOG.md"
      },
      files: [
        "lib",
        "src",
        "guides/*.md",
        "guides/*.cheatmd",
        "livebooks/*.livemd",
        "priv/python/**/*.py",
        # For those who build from source.
        "native/.cargo/config.toml",
        "native/Cargo.toml",
        "native/Cargo.lock",
        "native/*/Cargo.toml",
        "native/*/src",
        # Made by mix python.release.checksums; without it nothing can be installed.
        "checksum-erlang_python.exs",
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
