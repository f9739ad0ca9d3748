defmodule Python.Engines do
  @moduledoc false

  # The engines that the suite can run on: `ENGINE=name mix test` runs the files that use
  # Python.EngineCase or Python.StreamCase on that one. Without ENGINE the whole suite runs, on :main.

  # Each with the options that its pools and contexts are started with, such as `[engine: :process]`: one
  # line adds another.
  @engines [
    main: []
  ]

  @doc "The engine that the suite runs on."
  @spec current() :: atom
  def current do
    name = System.get_env("ENGINE", "")
    engine = Enum.find(Keyword.keys(@engines), &(Atom.to_string(&1) == name))

    cond do
      name == "" -> :main
      engine -> engine
      true -> raise "ENGINE=#{name} is none of #{inspect(Keyword.keys(@engines))}"
    end
  end

  @doc "What a pool of a test is started with, beside what the test says."
  @spec pool_options() :: keyword
  def pool_options, do: if(current() == :main, do: [], else: [init: init()] ++ context_options())

  @doc "What a context is started with."
  @spec context_options() :: keyword
  def context_options, do: @engines[current()]

  @doc """
  What the suite leaves out: on another engine, all that is only about the VM's own interpreter.

  Not by `--only`, which would run tests that are too long, or need a newer Python, as well.
  """
  @spec exclude() :: keyword
  def exclude, do: if(current() == :main, do: [], else: [engine: :main])

  @doc """
  The pools in which a test defines names: the default one, and where pools do not share `__main__` with it,
  those that the test has started by itself.
  """
  @spec pools() :: [atom]
  def pools, do: [Python.Pool.default() | Process.get(__MODULE__, [])]

  @doc "Notes that the calling test has started a pool, in which its names are to be defined, too."
  @spec started(atom) :: atom
  def started(pool) do
    if current() != :main, do: Process.put(__MODULE__, [pool | Process.get(__MODULE__, [])])
    pool
  end

  # The modules in test/support/python, which a pool of the VM's interpreter has from the default one.
  defp init do
    folder = Python.Checkout.path("test/support/python")
    "import sys; #{inspect(folder)} in sys.path or sys.path.insert(0, #{inspect(folder)})"
  end
end
