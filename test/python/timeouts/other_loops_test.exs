defmodule Python.Timeouts.OtherLoopsTest do
  # A deadline in the middle of an event loop that is not asyncio's, with the real ones.
  use Python.TestCase, async: true

  alias Python.{FreshVM, Packages, TimeoutError}

  @packages ~w(trio gevent)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  # The first time the packages are installed.
  @moduletag timeout: 300_000

  @code """
  import trio, gevent, gevent.event

  begun, left = [], []

  async def waits():
      begun.append("waits")
      try:
          await trio.sleep_forever()
      finally:
          left.append("waits")

  async def ticks():
      begun.append("ticks")
      try:
          while True:
              await trio.sleep(0.005)
      finally:
          left.append("ticks")

  async def several():
      begun.append("several")
      async with trio.open_nursery() as nursery:
          for task in (waits, ticks, waits):
              nursery.start_soon(task)

  async def spins():
      begun.append("spins")
      try:
          while True:
              pass
      finally:
          left.append("spins")

  async def in_a_thread():
      begun.append("in_a_thread")
      await trio.to_thread.run_sync(__import__("time").sleep, 0.3)

  async def soon():
      await trio.sleep(0.001)
      return 1

  def run(function):
      begun.clear()
      left.clear()
      return trio.run(globals()[function])

  def greenlets(function):
      return globals()[function]()

  def sleeps():
      gevent.sleep(1_000)

  def spins_in_a_greenlet():
      gevent.spawn(lambda: [None for _ in iter(int, 1)]).join()

  def tick():
      while True:
          gevent.sleep(0.005)

  def joins():
      gevent.joinall([gevent.spawn(tick) for _ in range(3)])

  def is_done():
      greenlet = gevent.spawn(lambda: 1)
      gevent.sleep(0.001)
      return greenlet.get()
  """

  setup_all do
    %{vm: start_vm()}
  end

  # So that nothing of a call before is ended in the midst of the next.
  defp wait_for_the_end(vm) do
    eventually("no call is left", fn ->
      FreshVM.call(vm, Python.Pool, :stats, [Python.Pool]).busy == 0
    end)
  end

  defp start_vm do
    {:ok, venv} = Packages.venv(@packages)
    settings = [python_path: venv, num_workers: 1, stdio: false, logging: false]
    vm = FreshVM.start(settings: settings)
    :ok = FreshVM.call(vm, Python, :exec, [@code, [timeout: 60_000]])
    vm
  end

  defp call(vm, function, arguments, timeout),
    do: FreshVM.call(vm, Python, :call, [:__main__, function, arguments, [timeout: timeout]])

  describe "trio" do
    for {function, begun, left} <- [
          {"waits", 1, ["waits"]},
          {"several", 4, ["ticks", "waits", "waits"]},
          {"spins", 1, ["spins"]},
          {"in_a_thread", 1, []}
        ] do
      test "is ended at the deadline, with its finally blocks: #{function}", %{vm: vm} do
        for _ <- 1..3 do
          # Again, if the machine was too busy to begin.
          eventually("it was ended in its midst", fn ->
            wait_for_the_end(vm)
            assert {:error, %TimeoutError{}} = call(vm, :run, [unquote(function)], 200)
            FreshVM.call(vm, Python, :eval!, ["len(begun)"]) == unquote(begun)
          end)

          # It may have been given up by then, where the machine is busy.
          eventually("its finally blocks have run", fn ->
            FreshVM.call(vm, Python, :eval!, ["sorted(left)"]) == unquote(left)
          end)

          wait_for_the_end(vm)
          assert call(vm, :run, ["soon"], 20_000) == {:ok, 1}
        end
      end
    end

    test "runs in the next call, whenever one is interrupted", %{vm: vm} do
      for _ <- 1..times(50, 1_000) do
        function = Enum.random(~w(waits ticks several spins))
        assert {:error, %TimeoutError{}} = call(vm, :run, [function], :rand.uniform(15))
        assert call(vm, :run, ["soon"], 20_000) == {:ok, 1}
      end
    end
  end

  describe "gevent" do
    test "runs in the next call, whenever one is interrupted" do
      # Its own, as calls that wait stay there.
      vm = start_vm()

      for _ <- 1..times(20, 200) do
        function = Enum.random(~w(sleeps spins_in_a_greenlet joins))
        assert {:error, %TimeoutError{}} = call(vm, :greenlets, [function], :rand.uniform(30))
        assert call(vm, :greenlets, ["is_done"], 20_000) == {:ok, 1}
      end
    end
  end
end
