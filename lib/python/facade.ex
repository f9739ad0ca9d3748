defmodule Python.Facade do
  @moduledoc false

  # Writes src/py.erl from the docs, specs and types of Python.Erlang, as its beam file has them. The
  # file is committed, so that Erlang projects and reviewers can read it, and CI compares it with
  # what is written here.

  @source Python.Erlang

  @doc "The text of src/py.erl."
  @spec text() :: String.t()
  def text do
    {:docs_v1, _, _, _, %{"en" => moduledoc}, _, docs} = Code.fetch_docs(@source)
    {:ok, specs} = Code.Typespec.fetch_specs(@source)
    {:ok, types} = Code.Typespec.fetch_types(@source)
    specs = Map.new(specs)

    functions =
      for {{:function, name, arity}, line, signature, %{"en" => doc}, meta} <-
            Enum.sort_by(docs, fn {_, line, _, _, _} -> line end) do
        [spec] = Map.fetch!(specs, {name, arity})
        least = arity - Map.get(meta, :defaults, 0)
        %{name: name, arities: least..arity, doc: doc, spec: spec, line: line, of: signature}
      end

    IO.iodata_to_binary([
      head(moduledoc),
      exports(functions),
      types(types),
      Enum.map(functions, &function/1)
    ])
  end

  defp head(moduledoc) do
    """
    %% Written by `mix python.gen.facade` from lib/python/erlang.ex. Do not edit.
    -module(py).

    %% OTP 27 and later have documentation attributes.
    -if(?OTP_RELEASE >= 27).
    -define(MODULEDOC(Text), -moduledoc(Text)).
    -define(DOC(Text), -doc(Text)).
    -else.
    -define(MODULEDOC(Text), -compile([])).
    -define(DOC(Text), -compile([])).
    -endif.

    ?MODULEDOC(#{string(moduledoc)}).

    """
  end

  defp exports(functions) do
    for %{name: name, arities: arities} <- functions do
      list = Enum.map_join(arities, ", ", &"#{atom(name)}/#{&1}")
      "-export([#{list}]).\n"
    end
  end

  defp types(types) do
    exported = for {_kind, {name, _form, args}} <- types, do: "#{atom(name)}/#{length(args)}"

    [
      "\n-export_type([",
      exported |> Enum.sort() |> Enum.join(", "),
      "]).\n\n",
      for {kind, type} <- Enum.sort_by(types, fn {_kind, {name, _, _}} -> name end) do
        form({:attribute, 1, kind, type})
      end
    ]
  end

  defp function(%{name: name, arities: arities} = function) do
    for arity <- arities do
      variables = Enum.map_join(1..arity//1, ", ", &variable(function.spec, &1))
      doc = if arity == arities.first, do: function.doc, else: "See `#{name}/#{arities.first}`."

      [
        "\n?DOC(#{string(doc)}).\n",
        form({:attribute, 1, :spec, {{name, arity}, [cut(function.spec, arity)]}}),
        "#{atom(name)}(#{variables}) ->\n",
        "    '#{@source}':#{atom(name)}(#{variables}).\n"
      ]
    end
  end

  # The spec of a function whose last arguments are left out.
  defp cut({:type, line, :fun, [{:type, args_line, :product, args}, result]}, arity) do
    {:type, line, :fun, [{:type, args_line, :product, Enum.take(args, arity)}, result]}
  end

  # An argument is called what its type is called in the spec, or after its type.
  defp variable({:type, _, :fun, [{:type, _, :product, args}, _]}, position) do
    case Enum.at(args, position - 1) do
      {:ann_type, _, [{:var, _, name}, _]} -> name |> to_string() |> Macro.camelize()
      {:type, _, name, _} -> name |> to_string() |> Macro.camelize()
      {:remote_type, _, [{:atom, _, module}, _, _]} -> module |> Module.split() |> List.last()
    end
  end

  defp form(form), do: form |> rename_variables() |> :erl_pp.form() |> IO.chardata_to_string()

  # Names in Elixir specs are lower case, variables in Erlang are not.
  defp rename_variables({:var, line, name}) when is_atom(name) do
    {:var, line, name |> to_string() |> Macro.camelize() |> String.to_atom()}
  end

  defp rename_variables(form) when is_tuple(form) do
    form |> Tuple.to_list() |> Enum.map(&rename_variables/1) |> List.to_tuple()
  end

  defp rename_variables(forms) when is_list(forms), do: Enum.map(forms, &rename_variables/1)
  defp rename_variables(other), do: other

  defp atom(name), do: :io_lib.format("~tp", [name]) |> IO.chardata_to_string()

  defp string(text) do
    :io_lib.format("~tp", [text |> String.trim() |> String.to_charlist()])
    |> IO.chardata_to_string()
  end
end
