defmodule Python.KinoSupport do
  @moduledoc false

  # What a browser would be told of a cell's result. With a folder of compiled packages (`_build/dev/lib`
  # of a project that has them) in ERLANG_PYTHON_KINO, by the real Kino.

  @timeout 30_000

  @doc "Brings Kino into this VM, for good."
  def load do
    case System.get_env("ERLANG_PYTHON_KINO", "") do
      "" ->
        Code.require_file(Python.Checkout.path("test/support/fake_kino.exs"))

      folder ->
        for ebin <- Path.wildcard(Path.join(folder, "{kino,table}/ebin")),
            do: Code.append_path(ebin)

        {:ok, _} = Application.ensure_all_started(:kino)
    end

    :ok
  end

  @doc "The output of a cell with this result, and what a browser that connects to it is given."
  def show(value) do
    # Not there when this is compiled.
    case apply(Kino.Render, :to_livebook, [value]) do
      %{type: :js, js_view: view} = output -> {:js, connect(view), output}
      %{type: type} = output -> {type, output}
    end
  end

  @doc "The same of a Python expression, which is evaluated where this is called."
  def show_code(code, vars \\ %{}), do: show(Python.eval!(code, vars, return: :object))

  def connect(%{pid: pid, ref: ref}) do
    send(pid, {:connect, self(), %{origin: inspect(self()), ref: ref}})
    await(ref, :connect_reply)
  end

  @doc "What a browser shows after a click."
  def click(view, event, payload) do
    send(view.pid, {:event, event, payload, %{origin: inspect(self()), ref: view.ref}})
    connect(view)
  end

  @doc "What a browser saves."
  def download(%{ref: ref} = view, format) do
    connect(view)
    send(view.pid, {:event, "download", %{"format" => format}, %{origin: inspect(self())}})

    receive do
      {:event, "download_content", content, %{ref: ^ref}} -> content
    after
      @timeout -> raise "there was nothing to save"
    end
  end

  @doc "What is kept in the notebook's file."
  def export(%{pid: pid, ref: ref}) do
    send(pid, {:export, self(), %{ref: ref}})
    await(ref, :export_reply)
  end

  defp await(ref, kind) do
    receive do
      {^kind, data, %{ref: ^ref}} -> data
    after
      @timeout -> raise "Kino did not answer"
    end
  end
end
