defmodule Python.Callbacks.FrameworksTest do
  # Functions of Elixir, given to frameworks that ask a callable for its name, signature and types. In a VM
  # of its own, whose Python has the packages.
  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  alias Python.{FreshVM, Packages}

  @packages ~w(duckdb numpy pydantic fastapi flask blinker httpx)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  # The first time the packages are installed.
  @moduletag timeout: 300_000

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    vm = FreshVM.start(settings: [python_path: venv])
    FreshVM.call(vm, Python, :exec!, ["import warnings; warnings.simplefilter('ignore')"])
    %{vm: vm}
  end

  # Functions are known to the VM that they come from: here by a module that both have.
  defp run(vm, code, functions) do
    FreshVM.call(vm, Python, :exec!, [code, [timeout: 120_000]])
    FreshVM.call(vm, Python, :call, [:__main__, :run, functions])
  end

  defp priced do
    Python.function(&String.pad_leading/2,
      name: "priced",
      args: [text: "str", width: "int"],
      returns: "str",
      doc: "Doc."
    )
  end

  test "DuckDB makes a function of SQL of it", %{vm: vm} do
    code = """
    import duckdb
    def run(f):
        connection = duckdb.connect()
        connection.create_function('priced', f)
        return connection.execute("select priced('x', 3)").fetchone()
    """

    assert run(vm, code, [priced()]) == {:ok, {"  x"}}
  end

  test "pydantic validates its calls", %{vm: vm} do
    code = """
    import pydantic
    def run(f):
        checked = pydantic.validate_call(f)
        try:
            checked('x', 'no number')
        except pydantic.ValidationError as error:
            return [checked('x', '3'), checked(width=2, text='y'), error.error_count()]
    """

    assert run(vm, code, [priced()]) == {:ok, ["  x", " y", 1]}
  end

  test "FastAPI makes a route of it", %{vm: vm} do
    code = """
    import fastapi
    from fastapi.testclient import TestClient
    def run(f):
        app = fastapi.FastAPI()
        app.add_api_route('/priced', f)
        client = TestClient(app)
        operation = client.get('/openapi.json').json()['paths']['/priced']['get']
        return [
            client.get('/priced?text=x&width=3').json(),
            client.get('/priced?text=x&width=no').status_code,
            operation['summary'], operation['description'],
            [parameter['schema']['type'] for parameter in operation['parameters']],
        ]
    """

    assert run(vm, code, [priced()]) ==
             {:ok, ["  x", 422, "Priced", "Doc.", ["string", "integer"]]}
  end

  test "Flask makes views of several", %{vm: vm} do
    code = """
    import flask
    def run(f, g):
        app = flask.Flask('app')
        app.add_url_rule('/a/<text>/<int:width>', view_func=f)
        app.add_url_rule('/b/<text>', view_func=g)
        client = app.test_client()
        return [client.get('/a/x/3').text, client.get('/b/x').text, sorted(app.view_functions)]
    """

    upcase = Python.function(&String.upcase/1, args: [text: "str"])

    assert run(vm, code, [priced(), upcase]) ==
             {:ok, ["  x", "X", ["priced", "static", "upcase"]]}
  end

  test "blinker connects it, weakly", %{vm: vm} do
    code = """
    import blinker
    def run(f):
        signal = blinker.Signal()
        signal.connect(f)
        return [len(signal.receivers), signal.send('me')[0][1], signal.disconnect(f), len(signal.receivers)]
    """

    assert run(vm, code, [&String.upcase/1]) == {:ok, [1, "ME", nil, 0]}
  end
end
