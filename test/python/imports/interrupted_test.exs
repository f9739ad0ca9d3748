defmodule Python.Imports.InterruptedTest do
  # Imports that an interrupt has struck. In a VM of its own, which has not imported them.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @moduletag timeout: 600_000

  # Of the import of each package, so many moments.
  @moments times(8, 100)

  setup_all do
    vm = FreshVM.start()
    search(vm, Python.Checkout.path("test/support/python"))
    %{vm: vm}
  end

  defp search(vm, folder) do
    FreshVM.call(vm, Python, :exec!, ["import sys; sys.path.insert(0, #{inspect(folder)})"])
    folder
  end

  defp ask(vm, function, arguments) do
    FreshVM.call(vm, Python, :call!, [
      :interrupted_imports,
      function,
      arguments,
      [timeout: 60_000]
    ])
  end

  # What plain Python has.
  defp plain(vm, package, path) do
    python = FreshVM.call(vm, Python, :info, []).executable

    code =
      "import sys; sys.path[:0] = #{inspect(path)}; __import__(#{inspect(package)}); " <>
        "print(*sorted(dir(sys.modules[#{inspect(package)}])))"

    {text, 0} = System.cmd(python, ["-c", code])
    String.split(text)
  end

  defp assert_imported_again(vm, package, path \\ []) do
    [names, _] = whole = ask(vm, :uninterrupted, [package])
    assert names[package] == plain(vm, package, path)
    lines = ask(vm, :moments, [package])

    for at <- 1..@moments do
      moment = max(div(lines * at, @moments), 1)
      found = ask(vm, :interrupted, [package, moment])

      assert found in [whole, nil],
             "interrupted at line #{moment} of #{lines}: #{shown(found, whole)}"
    end
  end

  defp shown([names, strays], [all, others]) do
    differences =
      for module <- Enum.uniq(Map.keys(names) ++ Map.keys(all)) do
        {here, there} = {Map.get(names, module, []), Map.get(all, module, [])}
        {module, missing: there -- here, new: here -- there}
      end

    inspect({Enum.reject(differences, &match?({_, missing: [], new: []}, &1)), strays -- others})
  end

  defp shown(found, _whole), do: inspect(found)

  describe "a package whose import was interrupted at any moment can be imported, and has all its names:" do
    for package <-
          ~w(asyncio concurrent.futures email.message xml.etree.ElementTree xml.dom.minidom multiprocessing
                      multiprocessing.pool unittest http.client importlib.metadata sqlite3 ctypes curses) do
      test package, %{vm: vm} do
        assert_imported_again(vm, unquote(package))
      end
    end
  end

  @packages %{
    "stars/__init__.py" => """
    class Error(Exception): pass
    def version(): return 1
    from . import one
    from .one import *
    from .shapes import *
    from . import late, shapes as of_stars
    __all__ = [*one.__all__, *shapes.__all__, "Error"]
    from .deep.deeper import leaf
    for _ in range(50): number = _
    del _
    """,
    "stars/one.py" => "__all__ = ['One']\nclass One: pass\nimport stars",
    "stars/late.py" =>
      "import stars.one as first\nfrom stars import version\nfrom . import Error as Base",
    "stars/shapes/__init__.py" => """
    from . import circle, square
    from .circle import *
    from .square import *
    __all__ = circle.__all__ + square.__all__ + ("TOTAL",)
    TOTAL = len(__all__)
    """,
    "stars/shapes/circle.py" => """
    from stars import Error
    import stars
    __all__ = ("Circle", "CircleError")
    class CircleError(Error): pass
    class Circle(stars.One): pass
    """,
    "stars/shapes/square.py" => """
    from . import circle
    from .circle import Circle
    __all__ = ("Square", "CIRCLE")
    class Square(Circle): pass
    CIRCLE = Circle()
    """,
    "stars/deep/__init__.py" => "",
    "stars/deep/deeper/__init__.py" => "from . import leaf",
    "stars/deep/deeper/leaf.py" => "from ... import Error, shapes\ndef f(): return Error\nf()",
    "circles/__init__.py" => "",
    "circles/a.py" => """
    class A: pass
    def f(): return A
    from . import b
    for number in range(50): pass
    class C(b.B): pass
    import circles_outside
    """,
    "circles/b.py" => "from . import a\nfrom .a import A, f\nclass B(A): pass\nof_a = A()",
    "circles_outside.py" => "from circles.b import B\nfrom circles.a import C\nclass D(C): pass",
    "renamed/__init__.py" => """
    from ._impl import Thing, Other, Bare
    for name in range(50): pass
    from ._user import User
    """,
    "renamed/_impl.py" => """
    class Thing:
        def method(self): pass
    class Bare(Exception): pass
    Thing.__module__ = Bare.__module__ = "renamed"
    class Other: pass
    import renamed._user
    """,
    "renamed/_user.py" =>
      "from renamed import _impl\ndef user(): return _impl.Thing\nclass User: pass"
  }

  describe "a package of one's own whose import was interrupted, with" do
    setup %{vm: vm} do
      folder = Path.join(System.tmp_dir!(), unique("packages"))
      on_exit(fn -> File.rm_rf!(folder) end)

      for {name, text} <- @packages do
        path = Path.join(folder, name)
        File.mkdir_p!(Path.dirname(path))
        File.write!(path, text)
      end

      search(vm, folder)
      %{folder: folder}
    end

    for {what, package} <- [
          {"submodules, stars, and names of the package in its submodules", "stars"},
          {"submodules deep within", "stars.deep.deeper.leaf"},
          {"modules that import each other", "circles.a"},
          {"classes that it calls its own", "renamed"}
        ] do
      test what <> " (#{package}), is as if nothing had happened", %{vm: vm, folder: folder} do
        assert_imported_again(vm, unquote(package), [folder])
      end
    end
  end
end
