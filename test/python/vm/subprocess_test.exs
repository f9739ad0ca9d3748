defmodule Python.VM.SubprocessTest do
  use Python.TestCase, async: true

  alias Python.Error

  setup_all do
    Python.exec!("import subprocess, sys, os")
  end

  test "subprocess.run gives the output and the status" do
    assert Python.eval("subprocess.run(['echo', 'hi'], stdout=-1).stdout") == {:ok, "hi\n"}
    assert Python.eval("subprocess.run(['sh', '-c', 'exit 3']).returncode") == {:ok, 3}
    assert Python.eval("subprocess.check_output('echo $((6 * 7))', shell=True)") == {:ok, "42\n"}
    assert Python.eval("os.system('exit 5') >> 8") == {:ok, 5}
  end

  test "a program that fails is the exception that Python makes of it" do
    assert {:error, %Error{type: "CalledProcessError"}} =
             Python.eval("subprocess.run(['false'], check=True)")

    assert {:error, %Error{type: "FileNotFoundError"}} =
             Python.eval("subprocess.run(['no-such-program-here'])")

    assert {:error, %Error{type: "TimeoutExpired"}} =
             Python.eval("subprocess.run(['sleep', '30'], timeout=0.05)")
  end

  test "programs have an input, and may run at the same time as others" do
    code = "subprocess.run(['cat'], input=text.encode(), stdout=-1).stdout"

    results =
      1..20
      |> Enum.map(fn n -> Task.async(fn -> Python.eval(code, %{text: "text #{n}"}) end) end)
      |> Task.await_many(60_000)

    assert results == for(n <- 1..20, do: {:ok, "text #{n}"})
  end

  test "the VM's own programs work beside them" do
    task =
      Task.async(fn -> for _ <- 1..10, do: Python.eval!("subprocess.run(['true']).returncode") end)

    for n <- 1..10, do: assert(System.cmd("echo", ["#{n}"]) == {"#{n}\n", 0})
    assert Task.await(task, 60_000) == List.duplicate(0, 10)
  end

  test "sys.executable is an interpreter that can be started" do
    code =
      "subprocess.check_output([sys.executable, '-c', 'import sys; print(sys.version_info[:2])'])"

    assert Python.eval(code) ==
             {:ok,
              inspect(Python.TestCase.python_version())
              |> String.replace(~r/[{}]/, fn
                "{" -> "("
                "}" -> ")"
              end)
              |> Kernel.<>("\n")}
  end

  test "a timeout of the call ends the waiting for a program" do
    pool = start_pool()

    {ms, result} =
      timed(fn -> Python.exec("subprocess.run(['sleep', '5'])", pool: pool, timeout: 100) end)

    assert {:error, %Python.TimeoutError{}} = result
    assert ms < 5_000
    assert Python.eval("1", pool: pool) == {:ok, 1}
  end

  test "what would end the VM, or copy it, is refused" do
    for code <- [
          "os.fork()",
          "os.forkpty()",
          "os._exit(0)",
          "os.abort()",
          "__import__('pty').fork()",
          "__import__('signal').alarm(0)",
          "__import__('signal').setitimer(0, 0)",
          "__import__('signal').raise_signal(1)"
        ] do
      assert {:error, %Error{type: type} = error} = Python.eval(code)
      assert type in ["RuntimeError", "OSError"]
      assert Exception.message(error) =~ "BEAM"
    end
  end
end
