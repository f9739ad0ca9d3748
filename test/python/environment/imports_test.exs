defmodule Python.Environment.ImportsTest do
  # Imports beside each other, of modules that are changed when they are imported, and of modules in C.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @watched ~w(ctypes fcntl resource runpy multiprocessing.context asyncio.events inspect)

  test "an import of a module that is changed takes no finder away" do
    ask = """
    import importlib, sys
    finders = list(sys.meta_path)
    for name in names:
        importlib.import_module(name)
        assert [f for f in finders if f not in sys.meta_path] == [], name
    """

    code = "Python.exec!(#{inspect("names = #{inspect(@watched)}\n" <> ask)})\nIO.puts(\"all\")"
    assert {"all\n", 0} = FreshVM.run(code)
  end

  @tag :tmp_dir
  test "imports of other threads find their modules meanwhile", %{tmp_dir: folder} do
    for n <- 1..300, do: File.write!(Path.join(folder, "module_#{n}.py"), "x = #{n}\n")

    code = """
    import importlib, sys, threading
    sys.path.insert(0, folder)
    sys.setswitchinterval(1e-5)
    failed = []
    def load(numbers):
        for n in numbers:
            try:
                assert importlib.import_module("module_%d" % n).x == n
            except Exception as error:
                failed.append(error)
    threads = [threading.Thread(target=load, args=(range(k, 301, 3),)) for k in range(1, 4)]
    for thread in threads:
        thread.start()
    for name in names:
        importlib.import_module(name)
    for thread in threads:
        thread.join()
    assert failed == [], failed
    """

    code =
      "Python.exec!(#{inspect("names, folder = #{inspect(@watched)}, #{inspect(folder)}\n" <> code)})\n" <>
        "IO.puts(\"all\")"

    assert {"all\n", 0} = FreshVM.run(code)
  end

  describe "a module in C" do
    for module <-
          ~w(_ctypes _ssl sqlite3 decimal _json _socket zlib unicodedata array _elementtree) do
      test "can be imported: #{module}" do
        assert {:ok, %Python.Object{}} = Python.eval("__import__('#{unquote(module)}')")
      end
    end

    test "works: ctypes, ssl, sqlite3, decimal, hashlib" do
      assert Python.call(:ctypes, :sizeof, [Python.eval!("__import__('ctypes').c_int64")]) ==
               {:ok, 8}

      assert {:ok, %Python.Object{}} = Python.call(:ssl, :create_default_context)

      Python.exec!("import sqlite3, decimal")

      assert Python.eval("sqlite3.connect(':memory:').execute('select 6 * 7').fetchall()") ==
               {:ok, [{42}]}

      assert Python.eval("str(decimal.Decimal(1) / 7)") == {:ok, "0.1428571428571428571428571429"}
      hash = :sha256 |> :crypto.hash("abc") |> Base.encode16(case: :lower)
      assert Python.eval("__import__('hashlib').sha256(b'abc').hexdigest()") == {:ok, hash}
    end
  end
end
