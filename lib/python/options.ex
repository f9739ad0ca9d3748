defmodule Python.Options do
  @moduledoc false

  # The options of calls and streams. Each is declared once, in one schema, from which come its name, its
  # documentation, its default and its validation. Those of pools and contexts are in lib/python/options/start.ex.

  alias Python.{Arguments, Schema}

  @max_timeout Schema.max_timeout()
  @max_line 1_000_000

  # Which options there are: with arguments, with code, ...
  @kinds [:call, :code, :exec, :object, :array, :table, :frame, :value, :stream, :stream_code]

  @type kind ::
          :call
          | :code
          | :exec
          | :object
          | :array
          | :table
          | :frame
          | :value
          | :stream
          | :stream_code

  # `:kinds`, if not all have it.
  @call [
    kwargs: %{
      type: {:parse, &__MODULE__.kwargs/1},
      default: %{},
      default_text: "",
      kinds: [:call, :stream],
      doc: "keyword arguments for Python, a map or a keyword list. Only for calls."
    },
    timeout: %{
      type: {:parse, &__MODULE__.timeout/1},
      default: nil,
      doc: """
      the time for the whole call, including the wait for a worker, in ms, or `:infinity`. After it, the call is
      cancelled and the result is a `Python.TimeoutError`. Defaults to the timeout of the pool, whose default is the
      setting `worker_timeout` (30000).
      """
    },
    return: %{
      type: {:one_of, [:value, :object, :bytes]},
      default: :value,
      kinds: [:call, :code, :value, :stream, :stream_code],
      doc: """
      the form of the result: `:value` converts it; `:object` leaves it in Python and returns a `Python.Object`;
      `:bytes` converts it, and marks each `bytes`, `bytearray` and `memoryview` in it as a `Python.Bytes`. Not for
      `exec/2`.
      """
    },
    decode: %{
      type: {:parse, &Python.Decode.settings/1},
      default: 0,
      default_text: "",
      kinds: [:call, :code, :table, :value, :stream, :stream_code],
      doc: """
      a keyword list that converts more classes, at any depth: see [Decode](`m:Python#module-decode`). Defaults to that
      of the pool. Not for `exec/2`.
      """
    },
    pool: %{
      type: {:check, &__MODULE__.pool/1},
      allowed: "the name of a pool, an atom, or `{name, node}`, or `{name, :any}`",
      default: nil,
      doc: """
      the name of the `Python.Pool` to run on; `{name, node}` for that of another node, `{name, :any}` for that of a near and
      idle one, see the guide [Nodes](nodes.md). Defaults to the home of the target, if it is an object (see
      `Python.Object`), else to the pool of the application.
      """
    },
    context: %{
      type: {:check, &__MODULE__.context_or_name/1},
      allowed: "a %Python.Context{}, its pid or its name",
      default: nil,
      doc: "the `Python.Context` to run in, its pid or its name, instead of a pool."
    },
    file: %{
      type: {:check, &__MODULE__.file/1},
      allowed: "the name of the file that contains the code, a string such as __ENV__.file",
      default: nil,
      kinds: [:code, :exec, :stream_code],
      doc: """
      the name of the file that contains the code, for tracebacks, warnings and `inspect.getsource`. Only for code:
      `eval/3`, `exec/2`, `stream_eval/3`.
      """
    },
    line: %{
      type: {:integer, 1, @max_line},
      allowed: "the number of the first line of the code, from 1 to #{@max_line}",
      default: nil,
      kinds: [:code, :exec, :stream_code],
      doc: "the number of the first line of the code in that file. Defaults to 1."
    },
    keep_locals: %{
      type: :boolean,
      default: nil,
      doc: """
      if `true`, the exception of a `Python.Error` keeps the variables of its frames (`frame.f_locals`), and everything
      they refer to. Defaults to that of the pool, whose default is `false`.
      """
    },
    copy: %{
      type: :boolean,
      default: true,
      kinds: [:array],
      doc: """
      if `false`, the array shares the memory of the object, which must be one that cannot change: that of `bytes` or of
      a binary of the VM. Another one is a `Python.DecodeError`.
      """
    },
    nan: %{
      type: {:one_of, [:nan, nil]},
      default: :nan,
      kinds: [:table],
      doc: "what NaN becomes: `:nan` or `nil`."
    },
    as: %{
      type: {:one_of, [:pandas, :polars, :pyarrow, :duckdb]},
      default: nil,
      kinds: [:frame],
      doc: "the library of a data frame."
    },
    max_chunk: %{
      type: {:integer, 1, 1_000_000},
      allowed: "a number of items from 1 to 1000000",
      default: 4_096,
      kinds: [:stream, :stream_code],
      doc: "the most items in a chunk, 1 to 1000000."
    },
    max_wait: %{
      type: {:integer, 0, 60_000},
      allowed: "a number of ms from 0 to 60000",
      default: 1,
      kinds: [:stream, :stream_code],
      doc: """
      how long an item waits for others before it is delivered, in ms, 0 to 60000. The first chunks of a stream, from
      16 items on, wait for a part of that only: 1/256, 1/64, 1/16, 1/4.
      """
    },
    prefetch: %{
      type: {:integer, 0, 1_000},
      allowed: "a number of chunks from 0 to 1000",
      default: 1,
      kinds: [:stream, :stream_code],
      doc: """
      the number of chunks to make ahead while the consumer is busy, 0 to 1000. With 0, Python runs only on demand.
      """
    }
  ]

  # The options of single functions, which document them.
  @special [:as, :copy, :nan]

  # What is no option but goes with them: the caller speaks Erlang; it is the :init of a pool; the pool or context is
  # the home of the handle that the call is about.
  @others [erlang: false, init: false, at_home: false]

  defstruct for({key, entry} <- @call, do: {key, entry.default}) ++ @others

  @type t :: %__MODULE__{
          kwargs: map | list,
          timeout: timeout | nil,
          return: :value | :object | :bytes,
          # What is asked of a handle of another node has its home there.
          pool: atom | {atom, node | :any} | {:home, atom | pid | nil, node},
          context: Python.Context.t() | pid | atom,
          # Without it, as the pool says.
          keep_locals: boolean | nil,
          copy: boolean,
          nan: :nan | nil,
          as: atom,
          max_chunk: pos_integer,
          max_wait: non_neg_integer,
          prefetch: non_neg_integer,
          file: String.t() | nil,
          line: pos_integer | nil,
          erlang: boolean,
          init: boolean,
          decode: Python.Decode.settings(),
          at_home: boolean
        }

  @doc "The documentation of the options of calls, or of those that only streams have, as a list in Markdown."
  @spec docs(:call | :stream) :: String.t()
  def docs(:call),
    do:
      Schema.docs(
        for({key, entry} <- @call, not stream?(entry), key not in @special, do: {key, entry})
      )

  def docs(:stream), do: Schema.docs(for({key, entry} <- @call, stream?(entry), do: {key, entry}))

  defp stream?(entry), do: entry[:kinds] == [:stream, :stream_code]

  @doc "The options of a call; `kind` says which there are."
  @spec call(keyword, kind) :: t
  def call(options, kind \\ :call)
  def call([], _kind), do: %__MODULE__{}
  # What many calls have, and all kinds allow.
  def call([timeout: timeout], _kind), do: %__MODULE__{timeout: timeout(timeout)}

  def call(options, kind) when is_list(options) do
    known = known(kind)
    if List.improper?(options), do: no_options(options, known)
    result = Enum.reduce(options, %__MODULE__{}, &put(&1, &2, options, kind, known))

    if result.context && List.keymember?(options, :pool, 0) do
      raise ArgumentError,
            "expected the option :pool or the option :context, got: both. A call runs in a pool or in a context"
    end

    result
  end

  def call(options, kind), do: no_options(options, known(kind))

  @spec no_options(term, [atom]) :: no_return
  defp no_options(options, known) do
    raise ArgumentError,
          "expected a keyword list of options (#{Arguments.list(known)}), got: #{Arguments.short(options)}"
  end

  for kind <- @kinds do
    names = for {key, entry} <- @call, kind in Map.get(entry, :kinds, @kinds), do: key
    defp known(unquote(kind)), do: unquote(names)
  end

  defp put({key, value}, result, options, kind, known) do
    if key in known do
      %{result | key => check(key, value)}
    else
      raise ArgumentError,
            "unknown option #{Arguments.short(key)}#{Arguments.did_you_mean(key, known)}; " <>
              "the options are #{Arguments.list(known)}#{elsewhere(kind, options)}"
    end
  end

  defp put(other, _result, _options, _kind, known) do
    raise ArgumentError,
          "expected an option (#{Arguments.list(known)}) with its value, got: #{Arguments.short(other)}"
  end

  # Where what was given belongs, if it is no option that is misspelt.
  defp elsewhere(kind, options) do
    strange =
      for {key, value} <- options,
          (is_atom(key) or is_binary(key)) and
            key not in unquote(
              for {key, entry} <- @call, entry[:kinds] != [:code, :exec, :stream_code], do: key
            ),
          into: %{},
          do: {key, value}

    cond do
      strange == %{} or kind in [:object, :array, :table, :frame, :value] ->
        ""

      kind == :exec ->
        ". exec takes no variables: use eval, or call a function with arguments"

      kind in [:code, :stream_code] ->
        ". Variables go in a map, before the options: #{Arguments.short(strange)}"

      true ->
        ". Python's keyword arguments go in :kwargs: kwargs: #{Arguments.short(strange)}"
    end
  end

  for {key, entry} <- @call do
    defp check(unquote(key), value) do
      case Schema.cast(unquote(Macro.escape(entry.type)), value) do
        {:ok, value} -> value
        :error -> refuse(unquote(key), unquote(Schema.allowed(entry)), value)
      end
    end
  end

  @spec refuse(atom, String.t(), term) :: no_return
  defp refuse(key, allowed, value) do
    raise ArgumentError,
          "expected the option #{inspect(key)} to be #{allowed}, got: #{inspect(value)}"
  end

  @doc false
  def place_name(name) when is_atom(name) and name not in [nil, true, false], do: {:ok, name}
  def place_name(_other), do: :error

  @doc false
  def pool({name, node}) when is_atom(node) and node not in [nil, true, false] do
    with {:ok, name} <- place_name(name),
         do: {:ok, if(node == node(), do: name, else: {name, node})}
  end

  def pool(name), do: place_name(name)

  @doc false
  # Its module has these options in its documentation, so that the struct is not there yet.
  def context_or_name(context)
      when is_struct(context, Python.Context) or is_pid(context),
      do: {:ok, context}

  def context_or_name(name), do: place_name(name)

  @doc false
  def file(file) when is_binary(file) and file != "" do
    if String.valid?(file) and not String.contains?(file, <<0>>), do: {:ok, file}, else: :error
  end

  def file(_other), do: :error

  @doc "Where code stands, as operations have it."
  @spec place(t) :: Python.Operation.place()
  def place(%__MODULE__{file: nil, line: nil}), do: nil
  def place(%__MODULE__{file: file, line: line}), do: {file, line || 1}

  @doc "A timeout in ms."
  @spec timeout(term) :: timeout
  def timeout(:infinity), do: :infinity

  def timeout(timeout) when is_integer(timeout) and timeout in 0..@max_timeout,
    do: timeout

  def timeout(timeout) do
    raise ArgumentError,
          "expected a timeout in ms from 0 to #{@max_timeout}, or :infinity, got: #{inspect(timeout)}"
  end

  @doc "Whether a buffer is to be a copy."
  @spec buffer(term) :: boolean
  def buffer([]), do: false
  def buffer(copy: copy) when is_boolean(copy), do: copy

  def buffer(other) do
    raise ArgumentError,
          "expected the option copy: true or copy: false, got: #{inspect(other, limit: 10)}"
  end

  @doc "Keyword arguments: a map or a list of pairs, named by atoms or strings."
  @spec kwargs(term) :: map | list
  def kwargs(kwargs) when is_map(kwargs) and not is_struct(kwargs) do
    Enum.each(kwargs, &kwarg(&1, kwargs))
    kwargs
  end

  def kwargs(kwargs) when is_list(kwargs) do
    Enum.each(pairs(kwargs), &kwarg(&1, kwargs))
    kwargs
  end

  def kwargs(kwargs), do: bad_kwargs(kwargs)

  @doc "A list of pairs, whatever they are called."
  @spec pairs(list) :: [{term, term}]
  def pairs(list) do
    if List.improper?(list) or not Enum.all?(list, &match?({_, _}, &1)), do: bad_kwargs(list)
    list
  end

  defp kwarg({name, _value}, _kwargs) when is_atom(name) or is_binary(name), do: :ok
  defp kwarg(_other, kwargs), do: bad_kwargs(kwargs)

  @spec bad_kwargs(term) :: no_return
  defp bad_kwargs(kwargs) do
    raise ArgumentError,
          "expected keyword arguments as a map or a keyword list, with atoms or strings as names, " <>
            "got: #{inspect(kwargs)}"
  end
end
