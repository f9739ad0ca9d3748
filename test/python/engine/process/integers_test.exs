defmodule Python.Engine.Process.IntegersTest do
  # Integers are as large as the VM has them, in a process too.
  use Python.TestCase, async: true

  alias Python.DecodeError

  test "an integer that the VM has no room for is an error for its call alone" do
    pool = start_pool(engine: :process, size: 1)
    pid = Python.eval!("__import__('os').getpid()", pool: pool)

    for bits <- [2 ** 22, 2 ** 25 - 64] do
      large = Python.eval("(1 << #{bits}) - 1", pool: pool)
      assert large == Python.eval("(1 << #{bits}) - 1") or match?({:error, %DecodeError{}}, large)
    end

    assert {:error, %DecodeError{}} = Python.eval("[1 << (1 << 28)]", pool: pool)
    assert Python.eval!("__import__('os').getpid()", pool: pool) == pid
  end
end
