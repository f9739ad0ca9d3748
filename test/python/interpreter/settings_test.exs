defmodule Python.Interpreter.SettingsTest do
  use Python.TestCase, async: true

  alias Python.Settings

  doctest Python.Settings

  test "without any given, the defaults hold" do
    assert {:ok, settings} = Settings.validate([])

    assert settings == %Settings{
             env: %{},
             engine: :main,
             num_workers: Settings.default_num_workers(),
             max_workers: 64,
             python_path: nil,
             python: nil,
             environments: [],
             worker_timeout: 30_000,
             max_queue: 10_000,
             thread_stack_size: 16 * 1024 * 1024,
             start: :boot,
             start_pool: true,
             stdio: true,
             logging: true,
             paths: [],
             init: nil,
             decode: [],
             max_stuck: 100,
             keep_locals: false,
             shutdown_timeout: 1_000,
             native_layouts: true,
             native_memory: true,
             cd: nil,
             command: [],
             kill_after: 1_000,
             limits: [],
             spares: 0,
             preload: [],
             max_calls: :infinity,
             max_memory: :infinity
           }
  end

  test "as many workers as schedulers, with two dirty I/O schedulers to spare" do
    workers = Settings.default_num_workers()
    assert workers in 1..:erlang.system_info(:schedulers_online)
    assert workers == 1 or workers <= :erlang.system_info(:dirty_io_schedulers) - 2
  end

  test "what is given takes the place of the default" do
    given = [
      num_workers: 3,
      worker_timeout: :infinity,
      max_queue: :infinity,
      thread_stack_size: 8 * 1024 * 1024,
      start_pool: false,
      stdio: false,
      logging: false
    ]

    assert {:ok, settings} = Settings.validate(given)
    assert Map.take(settings, Keyword.keys(given)) == Map.new(given)
  end

  test "options of the engine :process are settings, with text as strings or charlists" do
    given = [
      engine: :process,
      cd: ~c"/tmp",
      command: [~c"nice", "-n", ~c"10"],
      preload: [:json, "decimal", ~c"http.client"],
      kill_after: 50,
      limits: [files: 100],
      spares: 1,
      max_calls: 10,
      max_memory: 100_000_000
    ]

    assert {:ok, settings} = Settings.validate(given)
    assert settings.cd == "/tmp"
    assert settings.command == ["nice", "-n", "10"]
    assert settings.preload == ["json", "decimal", "http.client"]

    assert Settings.of_engine(settings) |> Enum.sort() ==
             Enum.sort(Map.to_list(Map.delete(Map.take(settings, Keyword.keys(given)), :engine)))

    assert Settings.of_engine(%{settings | engine: :main}) == []
  end

  test "a setting for the engine :process is refused with another one, and so is what it cannot be" do
    for {given, text} <- [
          {[kill_after: 100],
           "the setting :kill_after of :erlang_python is for the engine :process, got the setting engine: :main; " <>
             "set it to :process, or give the option to a pool of your own"},
          {[engine: :main, preload: []],
           "the setting :preload of :erlang_python is for the engine"},
          {[engine: :process, limits: [ram: 1]],
           "expected the setting :limits of :erlang_python to be a keyword list of positive integers"},
          {[engine: :process, kill_after: -1],
           "expected the setting :kill_after of :erlang_python to be an integer from 0 to"},
          {[engine: :process, command: "nice"],
           "expected the setting :command of :erlang_python to be a list of strings"},
          {[engine: :process, cd: [1 | 2]],
           "expected the setting :cd of :erlang_python to be the path of a folder"}
        ] do
      assert {:error, %ArgumentError{message: message}} = Settings.validate(given)
      assert String.starts_with?(message, text)
    end
  end

  test "the default pool grows, unless it is said how many workers it has" do
    for {given, most} <- [
          {[], 64},
          {[max_workers: 20], 20},
          {[num_workers: 3], 3},
          {[num_workers: 100], 100},
          {[num_workers: 3, max_workers: 30], 30},
          {[engine: :asyncio], 1},
          {[engine: :process, num_workers: 2], 2}
        ] do
      assert {:ok, %{max_workers: ^most}} = Settings.validate(given)
    end

    for {given, text} <- [
          {[num_workers: 4, max_workers: 3],
           "expected the setting :max_workers of :erlang_python to be at least :num_workers, which is 4, got: 3"},
          {[engine: :process, max_workers: 9],
           "the setting :max_workers of :erlang_python is for the engine :main, got the setting engine: :process; " <>
             "leave it out"}
        ] do
      assert Settings.validate(given) == {:error, %ArgumentError{message: text}}
    end
  end

  test "python_path may be a string, a charlist and nothing" do
    for {given, read} <- [
          {"/usr/bin/python3", "/usr/bin/python3"},
          {~c"/usr/bin/python3", "/usr/bin/python3"},
          {~c"/opt/größe", "/opt/größe"},
          {nil, nil},
          {:undefined, nil}
        ] do
      assert {:ok, %{python_path: ^read}} = Settings.validate(python_path: given)
    end
  end

  for {key, value} <- [
        num_workers: 0,
        num_workers: -1,
        num_workers: 1025,
        num_workers: 2.0,
        num_workers: "4",
        num_workers: :infinity,
        num_workers: nil,
        max_workers: 0,
        max_workers: 1025,
        max_workers: :infinity,
        max_workers: nil,
        python_path: "",
        python_path: [],
        python_path: :python3,
        python_path: 3.11,
        python_path: ["/usr/bin/python3"],
        python_path: [?a | ?b],
        python_path: [0x110000],
        python_path: "a\0b",
        worker_timeout: 0,
        worker_timeout: "30000",
        worker_timeout: :never,
        worker_timeout: 4_294_967_296,
        max_queue: 0,
        max_queue: -5,
        thread_stack_size: 1024,
        thread_stack_size: 1_073_741_825,
        thread_stack_size: :infinity,
        start_pool: "true",
        start_pool: nil,
        stdio: 1,
        logging: :warn
      ] do
    test "#{key}: #{inspect(value)} is refused with the key, the value and what is allowed" do
      key = unquote(key)
      value = unquote(Macro.escape(value))

      assert {:error, %ArgumentError{message: message}} = Settings.validate([{key, value}])
      assert message =~ "expected the setting #{inspect(key)} of :erlang_python to be "
      assert String.ends_with?(message, ", got: #{inspect(value)}")
    end
  end

  test "an unknown setting is refused with the known ones, and the near one" do
    for {key, near} <- [num_worker: :num_workers, pythonpath: :python_path, maxqueue: :max_queue] do
      assert {:error, %ArgumentError{message: message}} = Settings.validate([{key, 1}])

      assert message =~
               "unknown setting #{inspect(key)} of :erlang_python (did you mean #{inspect(near)}?)"

      for known <- Settings.keys(), do: assert(message =~ inspect(known))
    end

    assert {:error, %ArgumentError{message: message}} = Settings.validate(zzz: 1)
    refute message =~ "did you mean"
  end

  test "the table names every setting with its default" do
    docs = Settings.docs()
    for key <- Settings.keys(), do: assert(docs =~ "| `#{key}` |")
    assert docs =~ "| `worker_timeout` | 30000 |"
    assert docs =~ "16 MiB"
  end

  test "the application environment of this node is in order" do
    assert {:ok, settings} = Settings.fetch()
    assert Settings.read!() == settings
  end
end
