defmodule Python.OverloadedError do
  @moduledoc """
  A pool's queue is full: as many calls wait as its `:max_queue` allows. Or too many of its calls are stuck: they
  were given up and are still inside Python, as many as its `:max_stuck` allows.

  Nothing was run. Try later, or give the pool more workers or a longer queue; the message of stuck calls says where
  they are.

      iex> {:ok, _pid} = Python.Pool.start_link(name: MyApp.Narrow, size: 1, max_queue: 1)
      iex> for _ <- 1..3, do: Python.call_async(:time, :sleep, [1], pool: MyApp.Narrow)
      ** (Python.OverloadedError) the queue of the pool MyApp.Narrow is full; try later, or raise its :size or :max_queue

  ## Fields

    * `:pool` - the pool's name;
    * `:reason` - `:queue` or `:stuck`;
    * `:message` - a sentence.
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
        "the pool #{inspect(pool)} takes no calls while #{length(calls)} that were given up are still inside " <>
          "Python#{Python.Stuck.places(calls)}; give what waits there a timeout of its own, end it with " <>
          "erlang.on_interrupt, or raise the pool's :max_stuck"
    }
  end
end
