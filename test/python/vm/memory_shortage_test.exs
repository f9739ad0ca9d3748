defmodule Python.VM.MemoryShortageTest do
  # A VM that gets no more memory for a while: what needs a stack or a thread then fails, and nothing else does.

  use Python.TestCase, async: false

  alias Python.FreshVM

  @moduletag :capture_log
  @moduletag skip: System.find_executable("prlimit") == nil && "needs prlimit"

  # Far more than the VM asks for at once for itself: it lives on in half of that.
  @stack 64 * 1_024 * 1_024

  # So many schedulers, and most of them without a stack.
  @schedulers [{"ERL_FLAGS", "+SDio 40"}]
  @pools [:one, :two, :three, :four, :five, :six]

  # All schedulers that workers may be on are taken: further ones are threads.
  @taken [settings: [num_workers: 8]]

  @remote (defmodule Remote do
             def start_pools(pools) do
               for {name, size} <- pools do
                 {:ok, pid} = Python.Pool.start_link(name: name, size: size)
                 Process.unlink(pid)
                 pid
               end
             end

             # What becomes of each, all at the same time.
             def each(list, function) do
               list
               |> Enum.map(fn each ->
                 Task.async(fn -> apply(__MODULE__, function, [each]) end)
               end)
               |> Task.await_many(40_000)
             end

             @many [pool: :many, timeout: 20_000]

             def call(_), do: Python.call(:time, :sleep, [0.3], @many)

             def call_for_ever(_),
               do: Python.call(:time, :sleep, [0.3], pool: :many, timeout: :infinity)

             def async(_),
               do: :time |> Python.call_async(:sleep, [0.3], @many) |> Python.await(20_000)

             def map(_), do: Python.map(:time, :sleep, [[0.2], [0.1]], @many)

             def call_pool(pool),
               do: Python.call(:time, :sleep, [0.3], pool: pool, timeout: :infinity)

             def stream(_) do
               code = "(__import__('time').sleep(0.1) or n for n in range(3))"
               {:ok, Enum.to_list(Python.stream_eval(code, %{}, [max_chunk: 1] ++ @many))}
             rescue
               error -> {:error, error}
             end

             def with_lock(_) do
               with {:ok, lock} <- Python.eval("__import__('threading').Lock()", %{}, @many) do
                 Python.with(lock, fn _ -> Python.call(:time, :sleep, [0.1], @many) end, @many)
               end
             rescue
               error -> {:error, error}
             end

             def context(_) do
               with {:ok, context} <- Python.Context.start_link() do
                 Python.call(:time, :sleep, [0.5], context: context)
               end
             end

             def pool(name) do
               Process.flag(:trap_exit, true)
               # More workers than there are dirty schedulers: some are threads.
               with {:ok, pid} <- Python.Pool.start_link(name: name, size: 20) do
                 answer = Python.eval("1", %{}, pool: name)
                 GenServer.stop(pid)
                 answer
               end
             end

             # A call that waits for a process that calls Python itself: only one more worker can run that.
             def ask_another(pool) do
               # Not a task: those are known by their callers.
               ask = fn ->
                 own = self()
                 spawn(fn -> send(own, {:asked, Python.eval("6 * 7", %{}, pool: pool)}) end)
                 receive(do: ({:asked, answer} -> answer))
               end

               Python.eval("ask()", %{ask: ask}, pool: pool, timeout: 40_000)
             end

             def begin(fun, argument) do
               name = :"begun_#{fun}"

               spawn(fn ->
                 Process.register(self(), name)
                 answer = apply(__MODULE__, fun, [argument])
                 receive(do: ({:answer, to} -> send(to, {name, answer})))
               end)

               name
             end

             def answer(name) do
               send(name, {:answer, self()})

               receive do
                 {^name, answer} -> answer
               after
                 30_000 -> :none
               end
             end
           end)

  defp start(options) do
    settings = Keyword.get(options, :settings, num_workers: 2)
    settings = Keyword.put(settings, :thread_stack_size, @stack)
    vm = FreshVM.start(Keyword.put(options, :settings, settings))
    FreshVM.load(vm, @remote)
    {vm, FreshVM.call(vm, System, :pid, [])}
  end

  defp remote(vm, function, arguments), do: FreshVM.call(vm, Remote, function, arguments)

  # From outside: the limit is to be lifted again.
  defp limit(pid, room \\ div(@stack, 2)), do: prlimit(pid, size(pid) + room)

  # When threads that were needed for the start alone have ended.
  defp size(pid, last \\ nil) do
    [_, size] = Regex.run(~r/VmSize:\s+(\d+) kB/, File.read!("/proc/#{pid}/status"))

    if size == last do
      String.to_integer(size) * 1_024
    else
      Process.sleep(200)
      size(pid, size)
    end
  end

  defp prlimit(pid, bytes) do
    assert {_, 0} = System.cmd("prlimit", ["--pid", pid, "--as=#{bytes}:"])
  end

  @ways [:call, :call_for_ever, :async, :map, :stream, :with_lock]

  test "a call for which there is no stack is an error, and those after it work" do
    {vm, pid} = start(env: @schedulers)
    limit(pid)
    # The default pool has two workers: as many schedulers, at most, have a stack.
    pools = remote(vm, :start_pools, [[{:many, 20} | Enum.map(@pools, &{&1, 1})]])

    for way <- @ways do
      answers = remote(vm, :each, [Enum.to_list(1..10), way])
      assert Enum.any?(answers, &match?({:error, _}, &1)), "#{way}: #{inspect(answers)}"
      for {:error, error} <- answers, do: assert_no_stack(error)
    end

    # Each caller runs it itself.
    answers = remote(vm, :each, [@pools, :call_pool])
    assert Enum.count(answers, &match?({:error, _}, &1)) >= 4
    for {:error, error} <- answers, do: assert_no_stack(error)

    prlimit(pid, :unlimited)

    for way <- @ways do
      answers = remote(vm, :each, [Enum.to_list(1..10), way])
      assert Enum.all?(answers, &match?({:ok, _}, &1)), "#{way}: #{inspect(answers)}"
    end

    assert remote(vm, :each, [@pools, :call_pool]) == for(_ <- @pools, do: {:ok, nil})

    names = [:many | @pools]
    assert Enum.map(names, &FreshVM.call(vm, Process, :whereis, [&1])) == pools
    assert %{busy: 0, queued: 0, workers: 20} = FreshVM.call(vm, Python.Pool, :stats, [:many])
  end

  test "a context and a pool for which there is no thread do not start, and later they do" do
    {vm, pid} = start([])
    limit(pid)

    contexts = remote(vm, :each, [Enum.to_list(1..4), :context])
    # The stack of one thread that has ended may be left.
    errors = Enum.reject(contexts, &(&1 == {:ok, nil}))
    assert errors != []

    for answer <- errors ++ remote(vm, :each, [[:a, :b, :c], :pool]) do
      assert {:error, %Python.Error{type: "RuntimeError", builtin: true} = error} = answer
      assert error.message =~ "can't start new thread"
      assert error.message =~ "ulimit"
    end

    prlimit(pid, :unlimited)
    assert remote(vm, :each, [[1, 2, 3], :context]) == for(_ <- 1..3, do: {:ok, nil})
    assert remote(vm, :each, [[:a, :b, :c], :pool]) == for(_ <- 1..3, do: {:ok, 1})
  end

  test "a worker that is stuck is replaced when there is a thread again" do
    {vm, pid} = start(@taken)
    [pool] = remote(vm, :start_pools, [[thread: 1]])
    assert {:ok, 1} = FreshVM.call(vm, Python, :eval, ["1", %{}, [pool: :thread]])
    limit(pid)

    options = [pool: :thread, timeout: 100]
    sleep = [:time, :sleep, [3], options]
    assert {:error, %Python.TimeoutError{}} = FreshVM.call(vm, Python, :call, sleep)
    # Long before it wakes up.
    assert {:error, %Python.TimeoutError{reason: :queued}} =
             FreshVM.call(vm, Python, :eval, ["1", %{}, [pool: :thread, timeout: 500]])

    prlimit(pid, :unlimited)
    assert {:ok, 2} = FreshVM.call(vm, Python, :eval, ["2", %{}, [pool: :thread]])
    assert FreshVM.call(vm, Process, :whereis, [:thread]) == pool
    assert %{workers: 1} = FreshVM.call(vm, Python.Pool, :stats, [:thread])
  end

  test "calls that wait for one more worker get it when there is a thread again" do
    {vm, pid} = start(@taken)
    [_pool] = remote(vm, :start_pools, [[thread: 1]])
    assert {:ok, 1} = FreshVM.call(vm, Python, :eval, ["1", %{}, [pool: :thread]])
    limit(pid)
    begun = remote(vm, :begin, [:ask_another, :thread])
    Process.sleep(300)
    prlimit(pid, :unlimited)
    assert {:ok, {"ok", 42}} = remote(vm, :answer, [begun])
  end

  test "an interpreter for which there are no threads does not start, and later it does" do
    {vm, pid} = start(start: false)
    # For the first thread, and not for all that it starts.
    limit(pid, @stack + div(@stack, 2))
    start = [Application, :ensure_all_started, [:erlang_python]]
    assert {:ok, _} = apply(FreshVM, :call, [vm | start])

    assert {:error, %Python.NotStartedError{reason: :init_failed} = error} =
             FreshVM.call(vm, Python, :eval, ["1"])

    assert error.message =~ "cannot start a thread"

    prlimit(pid, :unlimited)
    :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    assert {:ok, _} = apply(FreshVM, :call, [vm | start])
    assert {:ok, 2} = FreshVM.call(vm, Python, :eval, ["1 + 1"])

    # Those threads are at work.
    forever = ["while True: pass", [timeout: 200]]
    assert {:error, %Python.TimeoutError{}} = FreshVM.call(vm, Python, :exec, forever)
    assert {:ok, 2} = FreshVM.call(vm, Python, :eval, ["1 + 1"])
  end

  defp assert_no_stack(error) do
    assert %Python.Error{type: "MemoryError", module: "builtins", builtin: true} = error
    assert Exception.message(error) =~ "MemoryError: there is no memory for the stack"
    assert error.message =~ "thread_stack_size"
  end
end
