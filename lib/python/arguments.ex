defmodule Python.Arguments do
  @moduledoc false

  # What is said of an argument that makes no sense, for the functions that are not about an operation or
  # options: what was given, what is allowed, what to do.

  alias Python.Environment.Secrets

  @doc "Whether an atom is an alias of Elixir's, such as `Sentiment`: between the two, as atoms are ordered by their text."
  # Most names in Python begin with a small letter, so the second comparison is hardly ever made.
  defguard is_alias(atom) when is_atom(atom) and atom < :"Elixir/" and atom > :"Elixir."

  @doc "A term as it is shown in a message."
  @spec short(term) :: String.t()
  # A handle that is none cannot be asked what it is.
  def short(%Python.Object{ref: ref} = object) when not is_reference(ref),
    do: inspect(object, structs: false)

  def short(term), do: inspect(term, limit: 10, printable_limit: 100)

  @doc "The nearest of some names, as a part of a sentence, or nothing."
  @spec did_you_mean(term, [atom]) :: String.t()
  def did_you_mean(given, known) when is_atom(given) or is_binary(given) do
    {distance, near} =
      known |> Enum.map(&{String.jaro_distance("#{given}", "#{&1}"), &1}) |> Enum.max()

    if distance > 0.8, do: " (did you mean #{inspect(near)}?)", else: ""
  end

  def did_you_mean(_given, _known), do: ""

  @doc "`:a, :b and :c`"
  @spec list([term]) :: String.t()
  def list([only]), do: inspect(only)

  def list(terms) do
    {last, terms} = terms |> Enum.map(&inspect/1) |> List.pop_at(-1)
    Enum.join(terms, ", ") <> " and " <> last
  end

  @doc "Raises for a module's name that is an alias of Elixir's."
  @spec alias_as_module!(atom) :: no_return
  def alias_as_module!(name) do
    module = name |> Macro.underscore() |> String.replace("/", ".")

    raise ArgumentError,
          "expected the name of a Python module, got: #{inspect(name)}, an Elixir alias (the atom :\"#{name}\"). Write " <>
            "the name as in Python's import, such as #{inspect(module)} for the file " <>
            String.replace(module, ".", "/") <> ".py"
  end

  @doc "Raises for the name of a function, class or attribute that is an alias of Elixir's."
  @spec alias_as_name!(atom) :: no_return
  def alias_as_name!(name) do
    [text] = Regex.run(~r/[^.]*\z/, Atom.to_string(name))

    raise ArgumentError,
          "expected a Python name, got: #{inspect(name)}, an Elixir alias (the atom :\"#{name}\"). Did you mean " <>
            "#{inspect(String.to_atom(text))} or #{inspect(text)}?"
  end

  @doc "Raises for what is no handle. One that holds no object is Python's to refuse."
  @spec handle!(term) :: :ok
  def handle!(%Python.Object{}), do: :ok

  def handle!(other) do
    raise ArgumentError,
          "expected a handle, a %Python.Object{}, got: #{short(other)}. Python.to_object/2 makes one from a value, " <>
            "Python.import/2 from a module"
  end

  @doc "Raises for what can be no context's pid or name. `or_else`: what else may be given."
  @spec context!(term, String.t()) :: :ok
  def context!(context, or_else \\ "")
  def context!(pid, _or_else) when is_pid(pid), do: :ok
  def context!(name, _or_else) when is_atom(name) and name not in [nil, true, false], do: :ok

  def context!(other, or_else) do
    raise ArgumentError,
          "expected #{or_else}a %Python.Context{}, its pid or its name (an atom), got: #{short(other)}"
  end

  @doc "Raises for what can be no options of a child in a supervision tree."
  @spec keyword!(term, String.t()) :: :ok
  def keyword!(options, what) do
    unless Keyword.keyword?(options) do
      raise ArgumentError,
            "expected a keyword list of options of #{what}, got: #{Secrets.inspect(options)}"
    end

    :ok
  end

  @doc "Raises for what is not what `call_async` gave on this node."
  @spec async!(term) :: :ok
  def async!(%Python.Async{ticket: ticket})
      when is_reference(ticket) and node(ticket) == node(),
      do: :ok

  def async!(%Python.Async{ticket: ticket} = async) when is_reference(ticket) do
    raise ArgumentError,
          "expected a call of the node #{node()}, got: #{inspect(async)} of the node #{node(ticket)}. Use it there"
  end

  def async!(other) do
    hint = if is_struct(other, Task), do: ". For a task, use the functions of Task", else: ""

    raise ArgumentError,
          "expected a %Python.Async{} from Python.call_async, eval_async or exec_async, got: #{shown(other)}#{hint}"
  end

  defp shown(%{__struct__: _} = other), do: inspect(other, limit: 10, structs: false)
  defp shown(other), do: short(other)
end
