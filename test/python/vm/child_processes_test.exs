defmodule Python.VM.ChildProcessesTest do
  # What starts processes of the operating system's.
  use Python.TestCase, async: true

  alias Python.FreshVM

  test "subprocess.run works" do
    assert Python.eval("__import__('subprocess').run(['echo', 'hi'], stdout=-1).stdout") ==
             {:ok, "hi\n"}

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

  test "many at once get their own output and status" do
    run = fn n ->
      Python.eval!("__import__('subprocess').run(c, shell=True, stdout=-1)", %{
        c: "echo #{n}; exit #{rem(n, 7)}"
      })
    end

    results =
      1..40
      |> Task.async_stream(run, max_concurrency: 8, timeout: 60_000)
      |> Enum.map(fn {:ok, done} ->
        {Python.getattr!(done, :stdout), Python.getattr!(done, :returncode)}
      end)

    assert results == for(n <- 1..40, do: {"#{n}\n", rem(n, 7)})
  end

  test "sys.executable is a Python, and the one that runs" do
    code = "import sys; print(sys.version)"

    assert Python.eval(
             "__import__('subprocess').check_output([executable, '-c', code]).decode().strip()",
             %{executable: Python.eval!("__import__('sys').executable"), code: code}
           ) == Python.eval("__import__('sys').version")
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

  test "os.fork raises and says why" do
    for name <- ["os.fork", "os.forkpty", "posix.fork"] do
      [module, function] = String.split(name, ".")

      assert {:error, %Python.Error{type: "RuntimeError"} = error} =
               Python.call(module, function, [])

      assert error.message =~
               "is not possible inside the BEAM: the child would be a copy of the VM"

      assert error.message =~ "Use subprocess"
    end

    assert {:error, %Python.Error{type: "RuntimeError"}} =
             Python.exec("""
             import multiprocessing
             multiprocessing.get_context('fork').Process(target=print).start()
             """)
  end

  test "the exit of a child is not the VM's" do
    vm = FreshVM.start()
    code = "__import__('subprocess').call(['sh', '-c', 'kill -9 $$'])"
    assert FreshVM.call(vm, Python, :eval, [code]) == {:ok, -9}
    assert FreshVM.call(vm, Python, :eval, ["1 + 1"]) == {:ok, 2}
    assert FreshVM.call(vm, System, :cmd, ["echo", ["still"]]) == {"still\n", 0}
  end
end
