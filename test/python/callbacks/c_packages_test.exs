defmodule Python.Callbacks.CPackagesTest do
  # Libraries from PyPI that call Python back, interrupted while they do. In a VM of its own: what goes
  # wrong there ends a VM.
  use Python.TestCase

  alias Python.{FreshVM, Packages}

  @source Path.expand("../../support/foreign.c", __DIR__)
  @support Path.expand("../../support/python", __DIR__)

  # The first time the packages are installed, and xgboost is large.
  @moduletag timeout: 600_000

  defp start(packages) do
    {:ok, venv} = Packages.venv(packages)
    vm = FreshVM.start(settings: [python_path: venv])
    on_exit(fn -> FreshVM.stop(vm) end)
    FreshVM.call(vm, Python, :call!, [:sys, "path.insert", [0, @support]])
    FreshVM.call(vm, Python, :import!, [:foreign])

    lost = """
    import sys
    lost = []
    sys.unraisablehook = lambda one: lost.append(repr(one))
    """

    :ok = FreshVM.call(vm, Python, :exec, [lost])
    child = {Python.Pool, name: :foreign, size: 1}
    {:ok, _} = FreshVM.call(vm, Supervisor, :start_child, [Python.Supervisor, child])
    vm
  end

  defp call(vm, function, args, options \\ []) do
    options = Keyword.merge([pool: :foreign, timeout: 120_000], options)
    FreshVM.call(vm, Python, :call, [:foreign, function, args, options], 180_000)
  end

  defp eventually_idle_there(vm) do
    eventually("the pool is idle", fn ->
      match?(%{busy: 0, queued: 0}, FreshVM.call(vm, Python.Pool, :stats, [:foreign]))
    end)
  end

  defp compile do
    folder = Path.join(System.tmp_dir!(), "foreign_packages_#{System.pid()}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    library = Path.join(folder, "libforeign.so")
    arguments = ~w(-shared -fPIC -o) ++ [library, @source]
    {_, 0} = System.cmd(System.get_env("CC", "cc"), arguments, stderr_to_stdout: true)
    {library, folder}
  end

  describe "a timeout while a library calls back through cffi" do
    @packages ["cffi", "setuptools"]
    @describetag skip: Packages.skip(__ENV__, @packages)

    # Only the state of a thread tells that cffi has called back.
    @tag native: :layouts
    test "lets the library end its work" do
      {library, folder} = compile()
      vm = start(@packages)
      assert {:ok, 3} = call(vm, :through_cffi, [library, 3, 0])
      assert {:ok, nil} = call(vm, :cffi_extension, [library, folder])
      assert {:ok, 3} = call(vm, :through_cffi_extension, [library, 3, 0])

      for n <- 1..times(100, 1_000), function <- [:through_cffi, :through_cffi_extension] do
        call(vm, function, [library, 150, 10 * rem(n, 3)], timeout: 1 + rem(n, 20))
      end

      eventually_idle_there(vm)
      {:ok, counts} = call(vm, :counts, [library])
      assert counts["begun"] > 50
      assert counts["begun"] == counts["ended"]
      assert counts["wrong"] == 0
      assert FreshVM.call(vm, Python, :eval, ["lost"]) == {:ok, []}
    end
  end

  describe "a timeout while xgboost trains" do
    @packages ["numpy", "xgboost-cpu"]
    @describetag skip: Packages.skip(__ENV__, @packages)

    test "ends the training, and xgboost works afterwards" do
      vm = start(@packages)
      assert {:ok, 20} = call(vm, :feed, [3])

      for n <- 1..times(25, 250), {function, args} <- [train: [2_000], feed: [20]] do
        call(vm, function, args, timeout: 5 + 8 * rem(n, 12))
      end

      eventually_idle_there(vm)
      assert FreshVM.call(vm, Python, :eval, ["lost"]) == {:ok, []}
      assert {:ok, 20} = call(vm, :feed, [3])
    end
  end
end
