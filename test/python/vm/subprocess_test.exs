defmodule Python.VM.SubprocessTest do
  # What starts processes of the operating system's: subprocess, multiprocessing. What may not be
  # started is in refused_test.exs and forks_test.exs.
  use Python.TestCase, async: true

  alias Python.{Error, FreshVM}

  setup_all do
    Python.exec!("import subprocess, sys, os")
  end

  test "subprocess.run gives the output and the status" do
    assert Python.eval("subprocess.run(['echo', 'hi'], stdout=-1).stdout") == {:ok, "hi\n"}
    assert Python.eval("subprocess.run(['sh', '-c', 'exit 3']).returncode") == {:ok, 3}
    assert Python.eval("subprocess.check_output('echo $((6 * 7))', shell=True)") == {:ok, "42\n"}
    assert Python.eval("os.system('exit 5') >> 8") == {:ok, 5}
  end

  test "subprocess.run gives both outputs and the status of a program that has an input, or raises" do
    name =
      define("""
      import subprocess
      def NAME(command, **options):
          done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
          return done.returncode, done.stdout, done.stderr
      """)

    assert Python.call(:__main__, name, [["cat"]], kwargs: [input: {:bytes, "größe"}]) ==
             {:ok, {0, "größe", ""}}

    assert Python.call(:__main__, name, ["echo out; echo err >&2; exit 3"], kwargs: [shell: true]) ==
             {:ok, {3, "out\n", "err\n"}}

    assert {:error, %Python.Error{type: "FileNotFoundError"}} =
             Python.call(:__main__, name, [["no-such-program"]])

    assert {:error, %Python.Error{type: "TimeoutExpired"}} =
             Python.call(:__main__, name, [["sleep", "60"]], kwargs: [timeout: 0.05])
  end

  test "a program that fails is the exception that Python makes of it" do
    assert {:error, %Error{type: "CalledProcessError"}} =
             Python.eval("subprocess.run(['false'], check=True)")
  end

  test "many at once have their own input, output and status" do
    code = """
    (lambda done: (done.stdout, done.returncode))(
        subprocess.run(command, shell=True, input=text.encode(), stdout=-1))
    """

    results =
      1..40
      |> Task.async_stream(
        fn n ->
          command = "echo #{n}; cat; exit #{rem(n, 7)}"
          Python.eval(code, %{command: command, text: "text #{n}"})
        end,
        max_concurrency: 20,
        timeout: 60_000
      )
      |> Enum.map(fn {:ok, result} -> result end)

    assert results == for(n <- 1..40, do: {:ok, {"#{n}\ntext #{n}", rem(n, 7)}})
  end

  test "the VM's own programs work beside them" do
    task =
      Task.async(fn -> for _ <- 1..10, do: Python.eval!("subprocess.run(['true']).returncode") end)

    for n <- 1..10, do: assert(System.cmd("echo", ["#{n}"]) == {"#{n}\n", 0})
    assert Task.await(task, 60_000) == List.duplicate(0, 10)
  end

  test "sys.executable is a Python, and the one that runs" do
    code = "import sys; print(sys.version)"

    assert Python.eval(
             "__import__('subprocess').check_output([executable, '-c', code]).decode().strip()",
             %{executable: Python.eval!("__import__('sys').executable"), code: code}
           ) == Python.eval("__import__('sys').version")
  end

  test "a timeout of the call ends the waiting for a program" do
    pool = start_pool()

    {ms, result} =
      timed(fn -> Python.exec("subprocess.run(['sleep', '5'])", pool: pool, timeout: 100) end)

    assert {:error, %Python.TimeoutError{}} = result
    assert ms < 5_000
    assert Python.eval("1", pool: pool) == {:ok, 1}
  end

  @tag :tmp_dir
  test "multiprocessing works with spawn and functions of modules", %{tmp_dir: dir} do
    module =
      write_module(dir, """
      import multiprocessing
      import os

      def square(x):
          return x * x

      def put(queue, x):
          queue.put((x, os.getpid()))

      def pool(numbers):
          with multiprocessing.get_context("spawn").Pool(2) as pool:
              return pool.map(square, numbers)

      def process(x):
          context = multiprocessing.get_context("spawn")
          queue = context.Queue()
          process = context.Process(target=put, args=(queue, x))
          process.start()
          got, pid = queue.get(timeout=60)
          process.join()
          return got, pid != os.getpid(), process.exitcode
      """)

    assert Python.call(module, :process, ["x"], timeout: 60_000) == {:ok, {"x", true, 0}}

    assert Python.call(module, :pool, [Enum.to_list(1..10)], timeout: 60_000) ==
             {:ok, Enum.map(1..10, &(&1 * &1))}
  end

  test "an executor of processes works with functions of the standard library" do
    name =
      define("""
      import math, multiprocessing
      from concurrent.futures import ProcessPoolExecutor
      def NAME(numbers):
          context = multiprocessing.get_context('spawn')
          with ProcessPoolExecutor(2, mp_context=context) as executor:
              return list(executor.map(math.factorial, numbers))
      """)

    assert Python.call(:__main__, name, [[1, 2, 3, 30]], timeout: 60_000) ==
             {:ok, [1, 2, 6, 265_252_859_812_191_058_636_308_480_000_000]}
  end

  test "without a method named it is not fork that is used" do
    name =
      define("""
      import multiprocessing, operator
      def NAME():
          assert multiprocessing.get_start_method() != 'fork'
          with multiprocessing.Pool(1) as pool:
              return pool.apply(operator.add, (1, 2))
      """)

    assert Python.call(:__main__, name, [], timeout: 60_000) == {:ok, 3}
  end

  test "the exit of a child is not the VM's" do
    vm = FreshVM.start()
    code = "__import__('subprocess').call(['sh', '-c', 'kill -9 $$'])"
    assert FreshVM.call(vm, Python, :eval, [code]) == {:ok, -9}
    assert FreshVM.call(vm, Python, :eval, ["1 + 1"]) == {:ok, 2}
    assert FreshVM.call(vm, System, :cmd, ["echo", ["still"]]) == {"still\n", 0}
  end
end
