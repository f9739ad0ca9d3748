defmodule Python.OverloadedError do
  @moduledoc """
  The queue of a pool is full, or too many of its calls are stuck.

  Nothing has run. Try again later, or raise the limit.

  | `:reason` | meaning | limit |
  |---|---|---|
  | `:queue` | as many calls wait as `:max_queue` allows | `:size` or `:max_queue` |
  | `:stuck` | as many calls were given up and are still inside Python as `:max_stuck` allows; the message says where they are | `:max_stuck` |

      iex> {:ok, _pid} = Python.Pool.start_link(name: MyApp.Narrow, size: 1, max_queue: 1)
      iex> for _ <- 1..3, do: Python.call_async(:time, :sleep, [1], pool: MyApp.Narrow)
      ** (Python.OverloadedError) the queue of the pool MyApp.Narrow is full; try later, or raise its :size or :max_queue

  ## Fields

    * `:pool` - the name of the pool;
    * `:reason` - `:queue` or `:stuck`;
    * `:message` - a text.
  """

  @type t :: %__MODULE__{pool: atom, reason: :queue | :stuck, message: String.t()}

  defexception [:pool, :message, reason: :queue]

  @doc false
  def new(pool) do
    %__MODULE__{
      pool: pool,
      message:
        "the queue of the pool #{inspect(pool)} is full; try later, or raise its :size or " <>
          ":max_queue"
    }
  end

  @doc false
  def stuck(pool, calls) do
    %__MODULE__{
      pool: pool,
      reason: :stuck,
      message:
        "the pool #{inspect(pool)} refuses calls: #{length(calls)} that were given up are still inside " <>
          "Python#{Python.Stuck.places(calls)}; give the code that waits a timeout of its own, let erlang.on_interrupt " <>
          "end it, or raise :max_stuck of the pool"
    }
  end
end
