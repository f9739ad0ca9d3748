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
             python_path: nil,
             worker_timeout: 30_000,
             max_queue: 10_000,
             thread_stack_size: 16 * 1024 * 1024,
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
             native_memory: true
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
