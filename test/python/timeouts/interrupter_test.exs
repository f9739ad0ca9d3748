defmodule Python.Timeouts.InterrupterTest do
  # What would hold up the thread that interrupts calls. In a VM of its own for each: where it is held
  # up, no call of the VM is interrupted any more.
  use Python.TestCase, async: true

  alias Python.{FreshVM, TimeoutError}

  @folder Path.expand("../../support/python", __DIR__)
  @traps File.read!(Path.join(@folder, "interrupter.py"))
         |> then(&Regex.run(~r/TRAPS = \[(.*)\]/s, &1, capture: :all_but_first))
         |> hd()
         |> String.split([",", "\n", " "], trim: true)

  defp start do
    vm = FreshVM.start(settings: [num_workers: 1])
    on_exit(fn -> FreshVM.stop(vm) end)
    code = "import sys\nsys.path.append(#{inspect(@folder)})\nimport interrupter"
    :ok = FreshVM.call(vm, Python, :exec, [code])
    vm
  end

  defp call(vm, name, timeout \\ 20_000) do
    FreshVM.call(vm, Python, :call, [:interrupter, name, [], [timeout: timeout]])
  end

  # A worker that is replaced is one that could not be interrupted.
  defp eventually_interrupted(vm) do
    Python.TestCase.eventually("the call is interrupted", fn ->
      match?(%{busy: 0}, FreshVM.call(vm, Python.Pool, :stats, [Python.Pool]))
    end)
  end

  for trap <- @traps do
    @trap trap
    test "#{String.replace(trap, "_", " ")} does not keep calls from being interrupted" do
      vm = start()
      define = "looping = interrupter.#{@trap}()"
      assert :ok = FreshVM.call(vm, Python, :exec, [define])
      options = [timeout: 300]

      for _ <- 1..3 do
        assert {:error, %TimeoutError{}} =
                 FreshVM.call(vm, Python, :call, [:__main__, :looping, [], options])

        eventually_interrupted(vm)
      end

      assert {:error, %TimeoutError{}} = call(vm, :loop, 300)
      eventually_interrupted(vm)
      assert call(vm, :tripped) == {:ok, []}
    end
  end

  test "the line of a file is shown, and of code that came as text" do
    vm = start()

    assert code_at(fn -> call(vm, :loop, 300) end, "loop") in ["while True:", "pass"]
    source = "def f():\n    x = 1\n    while x:\n        x += 1\n"
    assert :ok = FreshVM.call(vm, Python, :exec, [source])

    call = fn -> FreshVM.call(vm, Python, :call, [:__main__, :f, [], [timeout: 300]]) end
    assert code_at(call, "f") in ["while x:", "x += 1"]
  end

  # On a busy machine Python may not be asked in time.
  defp code_at(call, function) do
    Python.TestCase.eventually("the place is told", fn ->
      assert {:error, %TimeoutError{location: location}} = call.()
      with %{function: ^function, code: code} <- location, do: code
    end)
  end

  test "an error in code that has a pipe for a file is told" do
    vm = start()

    source = """
    code = compile("def f():\\n    1 / 0\\n", interrupter.a_pipe_as_file_name().__code__.co_filename, "exec")
    exec(code)
    """

    assert :ok = FreshVM.call(vm, Python, :exec, [source])

    for _ <- 1..2 do
      assert {:error, %Python.Error{type: "ZeroDivisionError"}} =
               FreshVM.call(vm, Python, :call, [:__main__, :f, [], [timeout: 20_000]])
    end
  end
end
