defmodule Python.Options do
  @moduledoc false

  # The options of calls, streams and pools: their names, what is allowed, their defaults. All
  # ArgumentErrors for options are made here.

  @max_timeout 4_294_967_295

  defstruct kwargs: %{},
            timeout: nil,
            return: :value,
            pool: Python.Pool,
            erlang: false

  @type t :: %__MODULE__{
          kwargs: map | list,
          timeout: timeout | nil,
          return: :value | :object,
          pool: atom,
          # The caller speaks Erlang: None is `none`.
          erlang: boolean
        }

  @call [:kwargs, :timeout, :return, :pool]
  @code [:timeout, :return, :pool]
  @exec [:timeout, :pool]
  @pool [:name, :size, :max_queue, :timeout]

  @doc "The options of a call; `kind` says which there are."
  @spec call(keyword, :call | :code | :exec) :: t
  def call(options, kind \\ :call)
  def call([], _kind), do: %__MODULE__{}

  def call(options, kind) when is_list(options) do
    known = known(kind)
    Enum.reduce(options, %__MODULE__{}, &put(&1, &2, known))
  end

  def call(options, kind) do
    raise ArgumentError,
          "options are a keyword list (of #{names(known(kind))}), not #{inspect(options)}"
  end

  defp known(:call), do: @call
  defp known(:code), do: @code
  defp known(:exec), do: @exec

  defp put({key, value}, options, known) do
    if key in known do
      %{options | key => check(key, value)}
    else
      raise ArgumentError, "unknown option #{inspect(key)}; the options are #{names(known)}"
    end
  end

  defp put(other, _options, known) do
    raise ArgumentError,
          "#{inspect(other)} is no option; options are a keyword list of #{names(known)}"
  end

  defp check(:kwargs, kwargs), do: kwargs(kwargs)
  defp check(:timeout, timeout), do: timeout(timeout)
  defp check(:return, return) when return in [:value, :object], do: return

  defp check(:return, return) do
    raise ArgumentError, "the option :return is :value or :object, not #{inspect(return)}"
  end

  defp check(:pool, pool) when is_atom(pool) and pool not in [nil, true, false], do: pool

  defp check(:pool, pool) do
    raise ArgumentError, "the option :pool is the name of a pool, an atom, not #{inspect(pool)}"
  end

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
  @spec pool(keyword, Python.Settings.t()) :: %{
          name: atom,
          size: pos_integer,
          max_queue: pos_integer | :infinity,
          timeout: timeout
        }
  def pool(options, settings) do
    defaults = %{
      name: nil,
      size: settings.num_workers,
      max_queue: settings.max_queue,
      timeout: settings.worker_timeout
    }

    unless Keyword.keyword?(options) do
      raise ArgumentError,
            "a pool's options are a keyword list of #{names(@pool)}, not #{inspect(options)}"
    end

    case Keyword.keys(options) -- @pool do
      [] ->
        :ok

      [key | _] ->
        raise ArgumentError, "unknown option #{inspect(key)} of a pool; " <> known_pool()
    end

    options = Map.merge(defaults, Map.new(options))
    Enum.each(options, fn {key, value} -> check_pool(key, value) end)
    options
  end

  defp check_pool(:name, name) when is_atom(name) and name not in [nil, true, false], do: :ok
  defp check_pool(:size, size) when is_integer(size) and size in 1..1024, do: :ok
  defp check_pool(:max_queue, :infinity), do: :ok
  defp check_pool(:max_queue, n) when is_integer(n) and n in 1..1_000_000_000, do: :ok
  defp check_pool(:timeout, :infinity), do: :ok
  defp check_pool(:timeout, n) when is_integer(n) and n in 1..@max_timeout, do: :ok

  defp check_pool(key, value) do
    allowed =
      case key do
        :name -> "an atom, and must be given"
        :size -> "an integer from 1 to 1024"
        :max_queue -> "an integer from 1 to 1000000000, or :infinity"
        :timeout -> "an integer from 1 to #{@max_timeout} ms, or :infinity"
      end

    raise ArgumentError,
          "the option #{inspect(key)} of a pool is #{allowed}, not #{inspect(value)}"
  end

  defp known_pool, do: "the options are #{names(@pool)}"

  defp names(keys) do
    {last, keys} = keys |> Enum.map(&inspect/1) |> List.pop_at(-1)
    Enum.join(keys, ", ") <> " and " <> last
  end
end
