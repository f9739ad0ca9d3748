defmodule Python.TestCase do
  @moduledoc false

  # What the tests of the public functions share. They all run in one interpreter, at the same time:
  # names that they give to Python are made up by `unique/1`. Those of what holds on every engine use
  # Python.EngineCase in its place.

  use ExUnit.CaseTemplate

  alias Python.Engines

  using do
    quote do
      @moduletag engine: :main
      import Python.TestCase
    end
  end

  @doc "Whether this is the long run: `LONG=1 mix test`."
  def long?, do: System.get_env("LONG", "") not in ["", "0"]

  @doc "Which of the settings `native_layouts` and `native_memory` are set for this run: see config/runtime.exs."
  def native_settings do
    for key <- [:native_layouts, :native_memory],
        {:ok, value} <- [Application.fetch_env(:erlang_python, key)],
        do: {key, value}
  end

  @doc "How often to do it: in the usual run, and in the long one."
  def times(usual, long), do: if(long?(), do: long, else: usual)

  @doc "The version of the Python that runs, such as `{3, 11}`."
  def python_version, do: Python.eval!("tuple(__import__('sys').version_info[:2])")

  @doc "A Python identifier that nobody else has, no other VM either: files are named so too."
  def unique(prefix \\ "name") do
    # Of one length, for numbers that are no others' with another pid.
    pid = String.pad_leading(System.pid(), 7, "0")
    "#{prefix}_#{pid}#{System.unique_integer([:positive])}"
  end

  @doc """
  Executes source in which every `NAME` is a new identifier, which it returns.

  `iex> Python.call!(:__main__, define("def NAME(): return 1"))`
  """
  def define(source, prefix \\ "made") do
    name = unique(prefix)
    Engines.define(String.replace(source, "NAME", name))
    name
  end

  @doc "Writes a Python module into a folder that Python looks in. Returns its name."
  def write_module(folder, source, prefix \\ "module") do
    name = unique(prefix)
    File.write!(Path.join(folder, name <> ".py"), source)

    unless Python.eval!("folder in __import__('sys').path", %{folder: folder}) do
      Engines.define("__import__('sys').path.insert(0, #{inspect(folder)})")

      ExUnit.Callbacks.on_exit(fn ->
        Python.exec!("__import__('sys').path.remove(#{inspect(folder)})")
      end)
    end

    # The import system remembers for a while what was not there.
    Python.call!(:importlib, :invalidate_caches)
    name
  end

  @printing """
  def NAME(f):
      import traceback
      try:
          f()
      except BaseException as e:
          return ''.join(traceback.format_exception(type(e), e, e.__traceback__.tb_next))
  """

  @doc "What Python itself prints for the exception of a module's `f`, at this moment, beginning where the code of `f` does."
  def printed_by_python(module) do
    printing = define(@printing)
    f = Python.eval!("__import__('#{module}').f", return: :object)
    :__main__ |> Python.call!(printing, [f]) |> String.trim_trailing()
  end

  @doc "Where an object can be used in a call that names no place: anywhere in the VM's interpreter, else at its home."
  def at_home(%Python.Object{home: home}) do
    cond do
      Engines.in_vm?() -> []
      is_pid(home) -> [context: home]
      true -> [pool: home]
    end
  end

  @doc "Starts a pool for this test. Returns its name."
  def start_pool(options \\ []) do
    options = Keyword.merge([size: 1, name: String.to_atom(unique("Elixir.TestPool"))], options)
    # Another engine has other options.
    suite = if options[:engine], do: [], else: Engines.options()
    start_supervised!({Python.Pool, Keyword.merge(suite, options)})
    Engines.started(options[:name])
  end

  @doc "Starts a context, which ends with the calling process. Returns it."
  def start_context(options \\ []) do
    suite = if options[:engine], do: [], else: Engines.options()
    {:ok, context} = Python.Context.start_link(Keyword.merge(suite, options))
    context
  end

  @doc """
  Starts a pool of workers that are all processes: as long as the pools of other tests have the dirty
  schedulers, workers are threads.
  """
  def start_pool_of_processes(options \\ []) do
    eventually("a pool's workers are processes", fn ->
      pool = start_pool(options)
      workers = Python.Pool.stats(pool).workers

      if map_size(:sys.get_state(pool).processes) == workers do
        pool
      else
        ExUnit.Callbacks.stop_supervised!(pool)
        nil
      end
    end)
  end

  @doc "Has the settings of this VM be what they are now when the test is over."
  def keep_settings do
    before = Application.get_all_env(:erlang_python)

    ExUnit.Callbacks.on_exit(fn ->
      for {key, _value} <- Application.get_all_env(:erlang_python),
          do: Application.delete_env(:erlang_python, key)

      Application.put_all_env(erlang_python: before)
    end)
  end

  @doc "Waits until a condition holds, and returns what it gives."
  def eventually(what, condition, timeout \\ 15_000) do
    poll(what, condition, System.monotonic_time(:millisecond) + timeout)
  end

  defp poll(what, condition, deadline) do
    cond do
      value = condition.() ->
        value

      System.monotonic_time(:millisecond) > deadline ->
        ExUnit.Assertions.flunk("it did not come about that #{what}")

      true ->
        Process.sleep(5)
        poll(what, condition, deadline)
    end
  end

  @doc "Waits until nothing runs and nothing waits in a pool."
  def eventually_idle(pool) do
    eventually("the pool #{inspect(pool)} is idle", fn ->
      match?(%{busy: 0, queued: 0}, Python.Pool.stats(pool))
    end)
  end

  @doc "Waits until a pool runs so many calls at the same time."
  def eventually_busy(pool, count \\ 1) do
    eventually("the pool #{inspect(pool)} runs #{count} calls", fn ->
      Python.Pool.stats(pool).busy >= count
    end)
  end

  @doc """
  What a function gives for each of these, in order, two at a time: for VMs of their own, which are at their
  start and their end longer than at anything else.
  """
  def together(items, fun) do
    items
    |> Task.async_stream(fun, max_concurrency: 2, timeout: :infinity)
    |> Enum.map(fn {:ok, result} -> result end)
  end

  @doc "The first `size` bytes of `data`, as a part of a larger binary that begins so many bits into it."
  def part_at(data, bits, size) do
    <<0::size(bits), data::binary>> |> drop_bits(bits) |> binary_part(0, size)
  end

  # One by one: a match by a size from outside is written differently before and after Elixir 1.20.
  defp drop_bits(rest, 0), do: rest
  defp drop_bits(<<_::1, rest::bitstring>>, bits), do: drop_bits(rest, bits - 1)

  @doc "Removes a folder with thousands of files: for `File.rm_rf!/1` each is a message to one process of the VM."
  def remove(folder), do: {_, 0} = System.cmd("rm", ["-rf", folder])

  @doc "The milliseconds that it takes, and its result."
  def timed(fun) do
    started = System.monotonic_time(:microsecond)
    result = fun.()
    {(System.monotonic_time(:microsecond) - started) / 1_000, result}
  end

  @doc "The milliseconds of the fastest of so many times: others may have the processors in between."
  def fastest(times, fun), do: Enum.min(for _ <- 1..times, do: elem(timed(fun), 0))

  @doc "The messages that the calling process has not read."
  def messages do
    # What has come lies outside of what the process sees of itself, until it receives something.
    marker = make_ref()
    send(self(), marker)

    receive do
      ^marker -> :ok
    end

    {:messages, messages} = Process.info(self(), :messages)
    messages
  end
end
