defmodule Python.Schema do
  @moduledoc false

  # Options that are declared once: names, documentation, defaults and validation all come from the same list.

  alias Python.Arguments
  alias Python.Environment.Secrets

  @doc "The longest timeout, in ms: `receive … after` takes no more."
  @spec max_timeout() :: pos_integer
  def max_timeout, do: 4_294_967_295

  @typedoc """
    * `:boolean`
    * `{:integer, min, max}`, `{:integer_or_infinity, min, max}`
    * `{:one_of, values}`
    * `{:check, function}` - gives `{:ok, value}` or `:error`; `:allowed` says what is allowed
    * `{:parse, function}` - gives the value, or raises an `ArgumentError` of its own
  """
  @type type ::
          :boolean
          | {:integer | :integer_or_infinity, integer, integer}
          | {:one_of, [term, ...]}
          | {:check, (term -> {:ok, term} | :error)}
          | {:parse, (term -> term)}

  @typedoc """
  `:default` is a value, or `{:setting, key}`. `:doc` is what the option means, in Markdown, without its name and
  its default. `:default_text` takes the place of the default in the documentation.
  """
  @type entry :: %{
          required(:type) => type,
          required(:doc) => String.t(),
          optional(:default) => term | {:setting, atom},
          optional(:allowed) => String.t(),
          optional(:unit) => String.t(),
          optional(atom) => term
        }

  @type t :: [{atom, entry}]

  @doc "A value as it is to be used, if it is allowed."
  @spec cast(type, term) :: {:ok, term} | :error
  def cast(:boolean, value) when is_boolean(value), do: {:ok, value}
  def cast({:integer_or_infinity, _, _}, :infinity), do: {:ok, :infinity}

  def cast({kind, min, max}, value)
      when kind in [:integer, :integer_or_infinity] and is_integer(value) and value >= min and
             value <= max,
      do: {:ok, value}

  def cast({:one_of, values}, value), do: if(value in values, do: {:ok, value}, else: :error)
  def cast({:check, function}, value), do: function.(value)
  def cast({:parse, function}, value), do: {:ok, function.(value)}
  def cast(_type, _value), do: :error

  @doc "What is allowed, as a part of a sentence. `quote`: what stands around code, such as a backquote."
  @spec allowed(map, String.t()) :: String.t()
  def allowed(entry, quote \\ "")
  def allowed(%{allowed: text}, _quote), do: text
  def allowed(%{type: :boolean}, quote), do: "#{quote}true#{quote} or #{quote}false#{quote}"

  def allowed(%{type: {:integer, min, max}} = entry, _quote),
    do: Enum.join(["an integer from #{min} to #{max}" | List.wrap(entry[:unit])], " ")

  def allowed(%{type: {:integer_or_infinity, min, max}} = entry, quote),
    do: allowed(%{entry | type: {:integer, min, max}}, quote) <> ", or #{quote}:infinity#{quote}"

  def allowed(%{type: {:one_of, values}}, _quote) do
    {last, others} = values |> Enum.map(&inspect/1) |> List.pop_at(-1)
    if others == [], do: last, else: Enum.join(others, ", ") <> " or " <> last
  end

  def allowed(%{type: {:parse, _}}, _quote), do: "one of the values in its documentation"

  @doc """
  The options of `what`, such as a pool, with the defaults of those that were not given. `settings`: of the
  application. `elsewhere`: what to add about an option that is unknown here. Raises for what is not allowed.
  """
  @spec validate!(term, t, String.t(), map, (atom -> String.t())) :: map
  def validate!(options, schema, what, settings, elsewhere \\ fn _key -> "" end) do
    known = Keyword.keys(schema)

    unless Keyword.keyword?(options) do
      raise ArgumentError,
            "expected a keyword list of options of #{what} (#{Arguments.list(known)}), " <>
              "got: #{Secrets.inspect(options)}"
    end

    for {key, _value} <- options, key not in known do
      raise ArgumentError,
            "unknown option #{inspect(key)} of #{what}#{Arguments.did_you_mean(key, known)}; " <>
              "the options are #{Arguments.list(known)}#{elsewhere.(key)}"
    end

    # Of two of a name the last one holds.
    given = Map.new(options)

    for {key, entry} <- schema, into: %{} do
      value = Map.get_lazy(given, key, fn -> default(entry, settings) end)
      {key, cast!(key, entry, value, what)}
    end
  end

  defp default(%{default: {:setting, key}}, settings), do: Map.fetch!(settings, key)
  defp default(entry, _settings), do: entry[:default]

  defp cast!(key, entry, value, what) do
    case cast(entry.type, value) do
      {:ok, value} ->
        value

      :error ->
        raise ArgumentError,
              "expected the option #{inspect(key)} of #{what} to be #{allowed(entry)}, got: #{inspect(Secrets.shown(value))}"
    end
  end

  @doc "The options as a list in Markdown."
  @spec docs(t) :: String.t()
  def docs(schema) do
    Enum.map_join(schema, "\n", fn {key, entry} ->
      text = String.trim(entry.doc) <> default_text(entry)
      "  * `#{inspect(key)}` - " <> String.replace(text, "\n", "\n    ")
    end)
  end

  defp default_text(%{default_text: text}), do: text
  defp default_text(%{default: {:setting, key}}), do: " Defaults to the setting `#{key}`."
  defp default_text(%{default: nil}), do: ""
  defp default_text(%{default: default}), do: " Defaults to `#{inspect(default)}`."
  defp default_text(_entry), do: ""
end
