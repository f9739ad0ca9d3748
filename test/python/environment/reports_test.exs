defmodule Python.Environment.ReportsTest do
  # What the log and `:sys` show of pools and contexts, and of the settings, has no password in it: in a VM of its own, as the
  # reports of supervisors are switched on.
  use Python.TestCase, async: true

  alias Python.{FreshVM, Secret}

  @moduletag timeout: 180_000

  @collect ~S'''
  defmodule Reports do
    # What is logged, in Elixir's words and in Erlang's.
    def log(%{msg: message} = event, _config),
      do: send(:collected, {:logged, shown({message, Map.drop(event.meta, [:gl])})})

    def shown(term), do: inspect(term, limit: :infinity, printable_limit: :infinity) <> to_string(:io_lib.format("~tp", [term]))

    def all(texts \\ []) do
      receive do: ({:logged, text} -> all([text | texts])), after: (300 -> Enum.join(texts, "\n"))
    end

    def states do
      for pid <- Process.list(), pid not in [self(), Process.whereis(:init)] do
        name = Process.info(pid, :registered_name)
        state = with {:dictionary, [_ | _] = dictionary} <- Process.info(pid, :dictionary),
                     {module, _, _} <- dictionary[:"$initial_call"],
                     true <- inspect(module) =~ ~r/\APython|Supervisor/ do
          try do: :sys.get_status(pid, 1_000), catch: (_, _ -> nil)
        end
        shown({name, Process.info(pid, [:dictionary, :messages]), state})
      end
      |> Enum.join("\n")
    end
  end
  '''

  @script ~S'''
  Process.register(self(), :collected)
  Process.flag(:trap_exit, true)
  :logger.set_primary_config(:level, :debug)
  :logger.remove_handler(:default)
  :logger.remove_handler(Logger)
  :ok = :logger.add_handler(:collected, Reports, %{level: :all})
  {:ok, _} = Application.ensure_all_started(:erlang_python)
  {:ok, supervisor} = Supervisor.start_link([{Python.Pool, options}], strategy: :one_for_one, max_restarts: 100)
  context = Keyword.drop(options, [:size, :spares, :preload]) |> Keyword.put(:name, :context)
  {:ok, _} = Supervisor.start_child(supervisor, Supervisor.child_spec({Python.Context, context}, restart: :temporary))
  {:ok, found} = Python.eval("__import__('os').environ['DB_PASSWORD']", %{}, pool: :pool)
  states = Reports.states()
  # It crashes, and is started again.
  pool = Process.whereis(:pool)
  :sys.replace_state(pool, fn _ -> :nothing end)
  catch_exit = try do: GenServer.call(:pool, :stats), catch: (_, reason -> reason)
  for name <- [:pool, :context, Python.Runtime], pid = Process.whereis(name), do: Process.exit(pid, :kill)
  bad = [{Python.Pool, options ++ [colour: 1]}]
  failed = Supervisor.start_link(bad, strategy: :one_for_one)
  {found, Reports.shown({catch_exit, failed}) <> states <> Reports.all()}
  '''

  defp reports(options, settings) do
    vm = FreshVM.start(start: false, settings: settings)
    FreshVM.call(vm, Code, :eval_string, [@collect])
    code = "options = #{inspect(options, limit: :infinity)}\n" <> @script
    {result, _} = FreshVM.call(vm, Code, :eval_string, [code])
    result
  end

  test "reports and states of a pool, a context and the settings show no values of variables" do
    options = [
      name: :pool,
      engine: :process,
      size: 1,
      spares: 1,
      env: %{"DB_PASSWORD" => "s3cret"}
    ]

    {found, text} = reports(options, env: %{"API_TOKEN" => "s3cret", "PLAIN" => "to be seen"})
    assert found == "s3cret"
    refute text =~ "s3cret"
    assert text =~ "DB_PASSWORD"
    assert text =~ "start_process"
    assert text =~ "supervisor_report"
    assert text =~ "to be seen"
  end

  test "nor what a pool that is forked from a template has" do
    options = [
      name: :pool,
      engine: :process,
      size: 1,
      preload: ["json"],
      env: %{"DB_PASSWORD" => "s3cret"}
    ]

    {"s3cret", text} = reports(options, start: :lazy, env: %{"API_TOKEN" => "s3cret"})
    refute text =~ "s3cret"
  end

  test "nor the password of an index, or a variable of uv" do
    options = [
      name: :of_index,
      engine: :process,
      python: [
        packages: ["own"],
        index: "https://me:s3cret@host.example/simple",
        env: %{"MY_TOKEN" => "s3cret"}
      ]
    ]

    for child <- [Python.Pool, Python.Context] do
      child_spec = child.child_spec(options)
      assert :supervisor.check_childspecs([child_spec]) == :ok

      for text <- [inspect(child_spec), to_string(:io_lib.format("~tp", [child_spec]))] do
        refute text =~ "s3cret"
      end

      assert inspect(child_spec) =~ "host.example"
    end
  end

  test "what is refused is shown without passwords" do
    for options <- [
          [name: :p, engine: :process, env: %{"DB_PASSWORD" => "s3cret", "HOME" => 1}],
          [name: :p, engine: :process, env: [{"DB_PASSWORD", "s3cret"}, {"HOME", "x"}]],
          [{"DB_PASSWORD", "s3cret"}, {"HOME", "x"}],
          %{env: %{"DB_PASSWORD" => "s3cret", "HOME" => "x"}}
        ] do
      error = assert_raise ArgumentError, fn -> Python.Pool.start_link(options) end
      refute error.message =~ "s3cret"
      assert error.message =~ "HOME"
    end

    {:error, error} = Python.Settings.validate(env: %{"DB_PASSWORD" => "s3cret", "HOME" => 1})
    refute error.message =~ "s3cret"
    {:ok, settings} = Python.Settings.validate(env: %{"DB_PASSWORD" => "s3cret", "HOME" => "x"})
    refute inspect(settings) =~ "s3cret"
    assert inspect(settings) =~ "HOME"
  end

  test "a secret is hidden once, from Elixir and from Erlang" do
    for value <- [%{"TOKEN" => "s3cret"}, [env: %{"TOKEN" => "s3cret"}], nil, false] do
      secret = Secret.hide(value)
      assert Secret.hide(secret) == secret
      assert Secret.reveal(secret) == value
      refute inspect(secret) =~ "s3cret"
      refute to_string(:io_lib.format("~tp ~tw", [secret, secret])) =~ "s3cret"
    end

    assert Secret.reveal("as it is") == "as it is"
  end
end
