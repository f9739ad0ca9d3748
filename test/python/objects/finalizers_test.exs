defmodule Python.Objects.FinalizersTest do
  # In VMs of their own: a finalizer that blocks is everybody's.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @classes """
  import threading, time

  gate = threading.Event()
  ended = []

  class Waits:
      def __del__(self):
          gate.wait()
          ended.append('Waits')

  class Sleeps:
      def __del__(self):
          time.sleep(0.3)
          ended.append('Sleeps')

  class Loops:
      def __del__(self):
          while not gate.is_set():
              pass
          ended.append('Loops')

  class LoopsInC:
      def __del__(self):
          any(gate.is_set() for _ in iter(int, 1))
          ended.append('LoopsInC')

  class Asks:
      def __del__(self):
          import erlang
          erlang.call('wait')
          ended.append('Asks')

  class Plain:
      def __del__(self):
          ended.append('Plain')

  def make(name, count=1, size=0):
      cls = globals()[name]
      made = [cls() for _ in range(count)]
      for one in made:
          one.load = bytearray(size)
      return made
  """

  # Makes objects, holds nothing but their handles, and drops these.
  @drops (defmodule Drops do
            def eval(code, count) do
              task =
                Task.async(fn ->
                  {:ok, list} = Python.eval(code, %{}, return: :object)

                  handles =
                    for n <- 0..(count - 1),
                        do: Python.call!(list, :__getitem__, [n], return: :object)

                  Python.call!(list, :clear)
                  length(handles)
                end)

              Task.await(task, 60_000)
            end
          end)

  @waiter (defmodule Waiter do
             def start do
               Python.register(:wait, fn ->
                 Process.register(self(), __MODULE__)

                 receive do
                   :go_on -> nil
                 end
               end)
             end

             def go_on, do: send(__MODULE__, :go_on)
           end)

  setup do
    vm = FreshVM.start()
    on_exit(fn -> FreshVM.stop(vm) end)
    # Each of them is told of.
    FreshVM.call(vm, Logger, :configure, [[level: :error]])
    for module <- [@drops, @waiter], do: FreshVM.load(vm, module)
    :ok = FreshVM.call(vm, Python, :exec, [@classes])
    %{vm: vm}
  end

  defp drop(vm, class, count \\ 1) do
    code = "[#{class}() for _ in range(#{count})]"

    FreshVM.call(vm, Python.Objects.FinalizersTest.Drops, :eval, [code, count])
  end

  defp info(vm), do: FreshVM.call(vm, Python, :info, []).finalizers
  defp eval(vm, code), do: FreshVM.call(vm, Python, :eval!, [code])

  defp blocked(vm, count) do
    eventually("#{count} finalizers are blocked", fn ->
      blocked = info(vm).blocked
      length(blocked) == count && blocked
    end)
  end

  for class <- ~w(Waits Loops LoopsInC) do
    test "a finalizer that blocks (#{class}) holds up nothing but itself", %{vm: vm} do
      drop(vm, unquote(class))
      assert [%{class: "__main__." <> unquote(class)} = blocked] = blocked(vm, 1)
      assert blocked.function == "__del__"
      assert blocked.file =~ "exec"
      assert is_integer(blocked.line) and is_integer(blocked.ms)

      drop(vm, "Plain", 50)
      eventually("the others are released", fn -> eval(vm, "ended.count('Plain')") == 50 end)
      assert info(vm).waiting == 0

      eval(vm, "gate.set()")
      eventually("it has ended", fn -> unquote(class) in eval(vm, "ended") end)
      assert blocked(vm, 0) == []
    end
  end

  test "what is released together with it is released all the same", %{vm: vm} do
    code = "[Waits() if n == 10 else Plain() for n in range(200)]"
    FreshVM.call(vm, Python.Objects.FinalizersTest.Drops, :eval, [code, 200])
    eventually("the others are released", fn -> eval(vm, "ended.count('Plain')") == 199 end)
  end

  test "ten that block leave the rest as it is, and memory is released", %{vm: vm} do
    drop(vm, "Waits", 5)
    drop(vm, "Loops", 1)
    drop(vm, "Waits", 4)
    assert length(blocked(vm, 10)) == 10

    resident = fn ->
      FreshVM.call(vm, Python, :eval!, ["__import__('resource').getrusage(0).ru_maxrss"])
    end

    grown = fn ->
      before = resident.()

      for _ <- 1..100 do
        FreshVM.call(vm, Python.Objects.FinalizersTest.Drops, :eval, [
          "[bytearray(b'x') * 10_000_000]",
          1
        ])
      end

      resident.() - before
    end

    # In kB: all of it is ten times as much. A busy machine may be late once, but memory that is kept is kept each time.
    assert Enum.any?(1..3, fn _ -> grown.() < 100_000 end)
    eval(vm, "gate.set()")
    assert blocked(vm, 0) == []
    drop(vm, "Plain")
    eventually("releases go on", fn -> "Plain" in eval(vm, "ended") end)
  end

  test "finalizers that take long all run", %{vm: vm} do
    drop(vm, "Sleeps", 20)
    eventually("they have run", fn -> eval(vm, "ended.count('Sleeps')") == 20 end)
    assert blocked(vm, 0) == []
  end

  test "one that waits for Elixir holds up nothing but itself", %{vm: vm} do
    FreshVM.call(vm, Python.Objects.FinalizersTest.Waiter, :start, [])
    drop(vm, "Asks")
    assert [%{class: "__main__.Asks"}] = blocked(vm, 1)
    drop(vm, "Plain", 3)
    eventually("the others are released", fn -> eval(vm, "ended.count('Plain')") == 3 end)
    FreshVM.call(vm, Python.Objects.FinalizersTest.Waiter, :go_on, [])
    eventually("it has ended", fn -> "Asks" in eval(vm, "ended") end)
  end

  test "more of them than there are threads are told of", %{vm: vm} do
    drop(vm, "Waits", 60)
    eventually("some block", fn -> length(info(vm).blocked) > 10 end)
    eventually("the rest waits", fn -> info(vm).waiting > 0 end)
    eval(vm, "gate.set()")
    eventually("all have run", fn -> eval(vm, "ended.count('Waits')") == 60 end)
    assert %{blocked: [], waiting: 0} = info(vm)
  end

  test "the log says where one blocks" do
    code = """
    #{inspect(@classes)} |> Python.exec!()
    spawn(fn -> Python.eval!("Waits()", %{}, return: :object) end)
    Process.sleep(2_500)
    """

    assert {output, 0} = FreshVM.run(code)
    assert output =~ "The finalizer of an object of the class __main__.Waits has not returned"
    assert output =~ ~r/exec.*:8, in __del__/
  end
end
