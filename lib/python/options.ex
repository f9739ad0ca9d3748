defmodule Python.Options do
  @moduledoc false

  # The options of calls, streams and pools: their names, what is allowed, their defaults. All
  # ArgumentErrors for options are made here.

  alias Python.Arguments

  @max_timeout 4_294_967_295
  @max_line 1_000_000

  defstruct kwargs: %{},
            timeout: nil,
            return: :value,
            pool: nil,
            context: nil,
            keep_locals: nil,
            max_chunk: 4_096,
            max_wait: 1,
            prefetch: 1,
            file: nil,
            line: nil,
            erlang: false,
            init: false,
            decode: 0,
            at_home: false

  @type t :: %__MODULE__{
          kwargs: map | list,
          timeout: timeout | nil,
          return: :value | :object | :bytes,
          # A name, or `{:away, node}` for what is asked of a handle of another node.
          pool: atom | {:away, node},
          context: Python.Context.t() | pid | atom,
          # Without it, as the pool says.
          keep_locals: boolean | nil,
          max_chunk: pos_integer,
          max_wait: non_neg_integer,
          prefetch: non_neg_integer,
          # Where code stands.
          file: String.t() | nil,
          line: pos_integer | nil,
          # The caller speaks Erlang: None is `none`.
          erlang: boolean,
          # It is the :init of a pool.
          init: boolean,
          decode: Python.Decode.settings(),
          # The pool or context is the home of the handle that the call is about.
          at_home: boolean
        }

  @call [:kwargs, :timeout, :return, :decode, :pool, :context, :keep_locals]
  @code [:timeout, :return, :decode, :pool, :context, :file, :line, :keep_locals]
  @exec [:timeout, :pool, :context, :file, :line, :keep_locals]
  @object [:timeout, :pool, :context, :keep_locals]
  @value [:timeout, :return, :decode, :pool, :context, :keep_locals]
  @stream [:max_chunk, :max_wait, :prefetch]
  @pool [:name, :size, :max_queue, :max_stuck, :timeout, :decode, :engine, :init, :keep_locals]
  @context [:name, :max_queue, :timeout, :decode, :init, :keep_locals]

  @doc "The options of a call; `kind` says which there are."
  @spec call(keyword, :call | :code | :exec | :object | :value | :stream | :stream_code) :: t
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
            "a call runs in a pool or in a context: give :pool or :context, not both"
    end

    result
  end

  def call(options, kind), do: no_options(options, known(kind))

  @spec no_options(term, [atom]) :: no_return
  defp no_options(options, known) do
    raise ArgumentError,
          "options are a keyword list (of #{Arguments.list(known)}), not #{Arguments.short(options)}"
  end

  defp known(:call), do: @call
  defp known(:code), do: @code
  defp known(:exec), do: @exec
  defp known(:object), do: @object
  defp known(:value), do: @value
  defp known(:stream), do: @call ++ @stream
  defp known(:stream_code), do: @code ++ @stream

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
          "#{Arguments.short(other)} is no option; options are a keyword list of #{Arguments.list(known)}"
  end

  # Where what was given belongs, if it is no option that is misspelt.
  defp elsewhere(kind, options) do
    strange =
      for {key, value} <- options,
          (is_atom(key) or is_binary(key)) and key not in (@call ++ @stream),
          into: %{},
          do: {key, value}

    cond do
      strange == %{} or kind in [:object, :value] ->
        ""

      kind == :exec ->
        ". exec takes no variables: use eval, or call a function with arguments"

      kind in [:code, :stream_code] ->
        ". Variables go in a map, before the options: #{Arguments.short(strange)}"

      true ->
        ". Python's keyword arguments go in :kwargs: kwargs: #{Arguments.short(strange)}"
    end
  end

  defp check(:kwargs, kwargs), do: kwargs(kwargs)
  defp check(:timeout, timeout), do: timeout(timeout)
  defp check(:return, return) when return in [:value, :object, :bytes], do: return

  defp check(:return, return) do
    raise ArgumentError, "the option :return is :value, :object or :bytes, not #{inspect(return)}"
  end

  defp check(:decode, decode), do: Python.Decode.settings(decode)

  defp check(:pool, pool) when is_atom(pool) and pool not in [nil, true, false], do: pool

  defp check(:pool, pool) do
    raise ArgumentError, "the option :pool is the name of a pool, an atom, not #{inspect(pool)}"
  end

  defp check(:context, %Python.Context{} = context), do: context
  defp check(:context, context) when is_pid(context), do: context

  defp check(:context, context) when is_atom(context) and context not in [nil, true, false],
    do: context

  defp check(:context, context) do
    raise ArgumentError,
          "the option :context is a %Python.Context{}, its pid or its name, " <>
            "not #{inspect(context)}"
  end

  defp check(:keep_locals, keep) when is_boolean(keep), do: keep

  defp check(:keep_locals, keep) do
    raise ArgumentError, "the option :keep_locals is true or false, not #{inspect(keep)}"
  end

  defp check(:max_chunk, items) when is_integer(items) and items in 1..1_000_000, do: items

  defp check(:max_chunk, items) do
    raise ArgumentError,
          "the option :max_chunk is a number of items from 1 to 1000000, not #{inspect(items)}"
  end

  defp check(:max_wait, wait) when is_integer(wait) and wait in 0..60_000, do: wait

  defp check(:max_wait, wait) do
    raise ArgumentError,
          "the option :max_wait is a number of ms from 0 to 60000, not #{inspect(wait)}"
  end

  defp check(:prefetch, chunks) when is_integer(chunks) and chunks in 0..1_000, do: chunks

  defp check(:prefetch, chunks) do
    raise ArgumentError,
          "the option :prefetch is a number of chunks from 0 to 1000, not #{inspect(chunks)}"
  end

  defp check(:file, file) when is_binary(file) and file != "" do
    if String.valid?(file) and not String.contains?(file, <<0>>), do: file, else: bad_file(file)
  end

  defp check(:file, file), do: bad_file(file)

  defp check(:line, line) when is_integer(line) and line in 1..@max_line, do: line

  defp check(:line, line) do
    raise ArgumentError,
          "the option :line is the number of the line at which the code begins, " <>
            "from 1 to #{@max_line}, not #{inspect(line)}"
  end

  defp bad_file(file) do
    raise ArgumentError,
          "the option :file is the name of the file in which the code stands, a string such as " <>
            "__ENV__.file, not #{inspect(file)}"
  end

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
          "a timeout is a number of ms from 0 to #{@max_timeout}, or :infinity, " <>
            "not #{inspect(timeout)}"
  end

  @doc "Whether a buffer is to be a copy."
  @spec buffer(term) :: boolean
  def buffer([]), do: false
  def buffer(copy: copy) when is_boolean(copy), do: copy

  def buffer(other) do
    raise ArgumentError,
          "the option of a buffer is copy: true or copy: false, not #{inspect(other, limit: 10)}"
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
          "keyword arguments are a map or a keyword list whose names are atoms or strings, " <>
            "not #{inspect(kwargs)}"
  end

  @doc "The options of a pool, with the settings as their defaults."
  @spec pool(keyword, Python.Settings.t()) :: map
  def pool(options, settings) do
    defaults = %{
      name: nil,
      size: settings.num_workers,
      max_queue: settings.max_queue,
      max_stuck: 100,
      timeout: settings.worker_timeout,
      decode: [],
      engine: :main,
      init: nil,
      keep_locals: false
    }

    options = start_options(options, defaults, @pool, "a pool")

    if options.name do
      options
    else
      raise ArgumentError, "a pool needs a :name, an atom"
    end
  end

  @doc "The options of a context, with the settings as their defaults."
  @spec context(keyword, Python.Settings.t()) :: map
  def context(options, settings) do
    defaults = %{
      name: nil,
      max_queue: settings.max_queue,
      timeout: settings.worker_timeout,
      decode: [],
      init: nil,
      keep_locals: false
    }

    start_options(options, defaults, @context, "a context")
  end

  @doc "The limit of a queue, as native code has it."
  @spec native_queue(pos_integer | :infinity) :: pos_integer
  def native_queue(:infinity), do: 0xFFFFFFFF
  def native_queue(limit), do: limit

  @doc "The limit of stuck calls, as native code has it."
  @spec native_stuck(pos_integer | :infinity) :: non_neg_integer
  def native_stuck(:infinity), do: 0
  def native_stuck(limit), do: limit

  defp start_options(options, defaults, known, what) do
    unless Keyword.keyword?(options) do
      raise ArgumentError,
            "the options of #{what} are a keyword list of #{Arguments.list(known)}, " <>
              "not #{Arguments.short(options)}"
    end

    case Keyword.keys(options) -- known do
      [] ->
        :ok

      [key | _] ->
        raise ArgumentError,
              "unknown option #{inspect(key)} of #{what}#{Arguments.did_you_mean(key, known)}; " <>
                "the options are #{Arguments.list(known)}"
    end

    options = Map.merge(defaults, Map.new(options))

    Enum.each(options, fn {key, value} ->
      unless valid?(key, value) do
        raise ArgumentError,
              "the option #{inspect(key)} of #{what} is #{allowed(key)}, not #{inspect(value)}"
      end
    end)

    Map.update!(options, :decode, &Python.Decode.settings/1)
  end

  defp valid?(:name, name), do: is_atom(name) and name not in [true, false]
  defp valid?(:size, size), do: is_integer(size) and size in 1..1024
  defp valid?(:max_queue, :infinity), do: true
  defp valid?(:max_queue, limit), do: is_integer(limit) and limit in 1..1_000_000_000
  defp valid?(:max_stuck, :infinity), do: true
  defp valid?(:max_stuck, limit), do: is_integer(limit) and limit in 1..1_000_000
  defp valid?(:timeout, :infinity), do: true
  defp valid?(:timeout, timeout), do: is_integer(timeout) and timeout in 1..@max_timeout
  # Judged by its own module.
  defp valid?(:decode, _decode), do: true
  defp valid?(:engine, engine), do: engine == :main
  defp valid?(:init, code), do: is_nil(code) or is_binary(code)
  defp valid?(:keep_locals, keep), do: is_boolean(keep)

  defp allowed(:name), do: "an atom"
  defp allowed(:size), do: "an integer from 1 to 1024"
  defp allowed(:max_queue), do: "an integer from 1 to 1000000000, or :infinity"
  defp allowed(:max_stuck), do: "an integer from 1 to 1000000, or :infinity"
  defp allowed(:timeout), do: "an integer from 1 to #{@max_timeout} ms, or :infinity"
  defp allowed(:engine), do: ":main"
  defp allowed(:init), do: "Python code, a string"
  defp allowed(:keep_locals), do: "true or false"
end
