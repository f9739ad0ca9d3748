defmodule Python.Native.LockTest do
  use ExUnit.Case, async: true

  alias Python.Native.Lock

  @moduletag :tmp_dir

  defp notices(folder), do: Path.wildcard(Path.join(folder, "lock.*"))

  defp hold(folder, work), do: Lock.hold(folder, fn -> send(self(), :waited) end, work)

  test "the work's result is returned, and nothing is left behind", %{tmp_dir: folder} do
    inside = fn -> {:done, length(notices(folder))} end
    assert hold(folder, inside) == {:done, 1}
    assert notices(folder) == []
    refute_received :waited
  end

  test "an error of the work leaves nothing behind", %{tmp_dir: folder} do
    assert_raise ArithmeticError, fn -> hold(folder, fn -> raise ArithmeticError end) end
    assert notices(folder) == []
  end

  test "one works at a time", %{tmp_dir: folder} do
    counter = :counters.new(1, [])

    work = fn ->
      :counters.add(counter, 1, 1)
      Process.sleep(5)
      together = :counters.get(counter, 1)
      :counters.sub(counter, 1, 1)
      together
    end

    tasks = for _ <- 1..8, do: Task.async(fn -> hold(folder, work) end)
    assert Task.await_many(tasks, 60_000) == List.duplicate(1, 8)
    assert notices(folder) == []
  end

  test "a process that waits says so once, and works when the other one is done", %{
    tmp_dir: folder
  } do
    parent = self()

    other =
      Task.async(fn ->
        hold(folder, fn ->
          send(parent, :working)
          receive(do: (:end -> :ok))
        end)
      end)

    assert_receive :working, 5_000

    waiter =
      Task.async(fn -> Lock.hold(folder, fn -> send(parent, :waited) end, fn -> :worked end) end)

    assert_receive :waited, 5_000
    refute Task.yield(waiter, 500)
    refute_received :waited
    send(other.pid, :end)
    assert Task.await(waiter, 5_000) == :worked
    assert Task.await(other) == :ok
  end

  test "a process that was killed holds up nobody", %{tmp_dir: folder} do
    {pid, 0} = System.cmd("sh", ["-c", "echo $$"])
    {:ok, host} = :inet.gethostname()
    host = String.replace(to_string(host), ".", "-")
    File.write!(Path.join(folder, "lock.#{host}.#{String.trim(pid)}.1"), "")
    assert hold(folder, fn -> :worked end) == :worked
    assert notices(folder) == []
    refute_received :waited
  end

  test "who was killed in this VM holds up nobody", %{tmp_dir: folder} do
    parent = self()
    hang = fn -> send(parent, :working) && receive(do: (:end -> :ok)) end
    pid = spawn(fn -> hold(folder, hang) end)
    assert_receive :working, 5_000
    Process.exit(pid, :kill)
    assert hold(folder, fn -> :worked end) == :worked
  end

  test "a machine that shares the folder is waited for while it touches its file", %{
    tmp_dir: folder
  } do
    old = Path.join(folder, "lock.elsewhere.1.1")
    File.write!(old, "")
    File.touch!(old, System.os_time(:second) - 61)
    assert hold(folder, fn -> :worked end) == :worked

    File.write!(old, "")
    task = Task.async(fn -> hold(folder, fn -> :worked end) end)
    refute Task.yield(task, 500)
    File.rm!(old)
    assert Task.await(task, 5_000) == :worked
  end

  test "what another clock has written holds up nobody, nor does what is no notice", %{
    tmp_dir: folder
  } do
    future = Path.join(folder, "lock.elsewhere.1.1-1")

    for path <- [future, Path.join(folder, "lock.odd"), Path.join(folder, "lock.a.b.c.d")],
        do: File.write!(path, "")

    File.touch!(future, System.os_time(:second) + 86_400)
    assert hold(folder, fn -> :done end) == :done
    refute_received :waited
  end
end
