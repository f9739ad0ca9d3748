defmodule Python.Livebook.FormsTest do
  # What a cell in Livebook shows of objects that say how they are shown.
  use Python.TestCase, async: true

  import Python.KinoSupport

  setup_all do
    Python.SupportModules.find()
    load()
  end

  defp shown(function, kwargs) do
    show(Python.call!(:displays, function, [], kwargs: kwargs, return: :object))
  end

  defp class(name), do: Python.call!(:displays, name, [], return: :object)

  @png Base.decode64!(
         "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
       )

  describe "an object with" do
    test "_repr_html_ is shown as HTML" do
      assert {:js, "<b>größe</b>", _} = shown(:shows, html: "<b>größe</b>")
    end

    test "_repr_svg_, _repr_png_ or _repr_jpeg_ is a picture" do
      assert {:image, %{content: "<svg/>", mime_type: "image/svg+xml"}} =
               shown(:shows, svg: "<svg/>")

      assert {:image, %{content: @png, mime_type: "image/png"}} = shown(:shows, png: @png)
      assert {:image, %{content: <<255>>, mime_type: "image/jpeg"}} = shown(:shows, jpeg: <<255>>)
    end

    test "_repr_markdown_ is formatted text" do
      assert {:markdown, %{text: "*a*"}} = shown(:shows, markdown: "*a*")
    end

    test "_repr_latex_ is a formula, whatever is around it" do
      for text <- ["x^2", "$x^2$", "$$x^2$$", "\\[x^2\\]", "\\(x^2\\)", " $$\nx^2\n$$\n"] do
        assert {:markdown, %{text: "$$\nx^2\n$$"}} = shown(:shows, latex: text)
      end

      assert {:markdown, %{text: "$x$ and $y$"}} = shown(:shows, latex: "$x$ and $y$")
    end

    test "several forms is shown in the richest one" do
      assert {:js, "<b/>", _} = shown(:shows, html: "<b/>", png: @png, latex: "x")
      assert {:image, %{mime_type: "image/png"}} = shown(:shows, markdown: "a", png: @png)
      assert {:markdown, %{text: "a"}} = shown(:shows, markdown: "a", latex: "x")
    end

    test "metadata is shown without them" do
      assert {:js, "<b/>", _} = shown(:shows, html: {"<b/>", %{"isolated" => true}})
      assert {:image, %{content: @png}} = shown(:shows, png: {@png, %{"width" => 1}})
    end

    test "savefig is the picture that it saves" do
      assert {:image, %{content: @png, mime_type: "image/png"}} = show(class(:Savable))
    end

    test "none of these is inspected" do
      assert {:terminal_text, %{text: text}} = show_code("1 + 2j")
      assert text == "#Python.Object<<class 'complex'> (1+2j)>"
      assert {:terminal_text, %{text: text}} = show_code("__import__('displays').Chart")
      assert text =~ "<class 'type'>"
      assert {:terminal_text, %{text: text}} = show_code("__import__('displays')")
      assert text =~ "<class 'module'>"
    end
  end

  describe "a bundle" do
    defp bundled(content, metadata \\ []) do
      show(Python.call!(:displays, :bundle, [content | metadata], return: :object))
    end

    test "is shown by the richest form in it" do
      assert {:js, "<i/>", _} = bundled(%{"text/html" => "<i/>", "image/png" => @png})
      assert {:markdown, %{text: "a"}} = bundled(%{"text/markdown" => "a", "text/plain" => "b"})
    end

    test "may have metadata, and pictures in base 64" do
      assert {:js, "<i/>", _} = bundled(%{"text/html" => "<i/>"}, [%{"text/html" => %{}}])
      assert {:image, %{content: @png}} = bundled(%{"image/png" => Base.encode64(@png)})
    end

    test "with nothing to show leaves it to the other forms" do
      for content <- [nil, %{}, %{"text/plain" => "x"}, %{"text/html" => nil}, "text", [1]] do
        assert {:js, "<b>by itself</b>", _} = bundled(content)
      end
    end

    test "of a chart is the HTML that the chart can make" do
      assert {:js, "<div>a chart</div>", _} = show(class(:Chart))
    end
  end

  describe "what goes wrong" do
    test "in one form is no matter, the next is taken" do
      assert {:markdown, %{text: "a"}} =
               show(Python.call!(:displays, :failing, ["html"], kwargs: [markdown: "a"]))

      assert {:markdown, %{text: "a"}} = shown(:leaving, markdown: "a")
      assert {:markdown, %{text: "*not so deep*"}} = show(class(:Deep))
    end

    test "with the content is no matter either" do
      for html <- [nil, "", "  ", 5, ["<b/>"], {"a", "b", "c"}] do
        assert {:markdown, %{text: "a"}} = shown(:shows, html: html, markdown: "a")
      end

      assert {:terminal_text, %{text: text}} = shown(:shows, html: nil, png: nil)
      assert text =~ "<in words>"
    end

    test "with half a character is replaced" do
      assert {:js, "a?b", _} = show_code("d.shows(html='a\\ud800b')", %{d: module()})
    end

    test "with attributes is inspected" do
      assert {:terminal_text, %{text: text}} = show(class(:Everything))
      assert text =~ "<everything>"
      assert {:terminal_text, %{text: "#Python.Object<" <> _}} = show(class(:Nothing))
    end

    test "takes as long as a call may, and is inspected then" do
      slow = class(:Slow)

      # The default timeout belongs to the default pool, which this test is not alone with.
      code = """
      Python.KinoSupport.load()
      Python.SupportModules.find()
      slow = Python.call!(:displays, :Slow, [], return: :object)
      {:terminal_text, %{text: text}} = Python.KinoSupport.show(slow)
      IO.puts(text)
      {:ok, 4.0} = Python.call(:math, :sqrt, [16])
      """

      assert {output, 0} = Python.FreshVM.run(code, settings: [worker_timeout: 2_000])
      assert output =~ "<slow>"
      assert inspect(slow) =~ "<slow>"
    end

    test "without an interpreter for it is inspected" do
      code = """
      Python.KinoSupport.load()
      ref = make_ref()
      {:terminal_text, %{text: text}} = Python.KinoSupport.show(%Python.Object{ref: ref})
      IO.puts(text)
      """

      assert {output, 0} = Python.FreshVM.run(code, settings: [python_path: "/no/such/python"])
      assert output =~ "#Python.Object<#Reference<"
    end
  end

  test "what is shown is given up with the handle" do
    before = Python.call!(:displays, :alive)

    task =
      Task.async(fn ->
        for _ <- 1..50, do: assert({:js, "<b>counted</b>", _} = show(class(:Counted)))
        :ok
      end)

    assert Task.await(task) == :ok
    eventually("all are gone", fn -> Python.call!(:displays, :alive) == before end)
  end

  test "no data frame is no table" do
    assert apply(Table.Reader, :init, [Python.eval!("1 + 2j")]) == :none
  end

  @tag :tmp_dir
  test "the implementation is found when protocols are consolidated", %{tmp_dir: folder} do
    code = """
    Code.compiler_options(debug_info: true, ignore_module_conflict: true)

    for {module, binary} <- Code.require_file("test/support/fake_kino.exs") do
      File.write!(Path.join(#{inspect(folder)}, "#\{module}.beam"), binary)
    end

    Code.prepend_path(#{inspect(folder)})
    for module <- [Kino.Render, Table.Reader] do
      :code.purge(module)
      :code.delete(module)
    end

    ours = Path.dirname(:code.which(Kino.Render.Python.Object))

    for protocol <- [Kino.Render, Table.Reader] do
      types = Protocol.extract_impls(protocol, [ours, #{inspect(folder)}])
      {:ok, binary} = Protocol.consolidate(protocol, types)
      {:module, _} = :code.load_binary(protocol, 'nofile', binary)
      true = Protocol.consolidated?(protocol)
    end

    value = Python.eval!("1j")
    IO.inspect({Kino.Render.impl_for(value), Table.Reader.impl_for(value)})
    IO.puts(Kino.Render.to_livebook(value).text)
    """

    assert {output, 0} = Python.FreshVM.run(code)
    assert output =~ "{Kino.Render.Python.Object, Table.Reader.Python.Object}"
    assert output =~ "#Python.Object<<class 'complex'> 1j>"
  end

  defp module, do: Python.import!(:displays)
end
